// A piece on show: its lanes, one beneath the other on one time axis, with one playhead.

import WaveSurfer from "../vendor/wavesurfer/wavesurfer.esm.js";
import { nonce } from "./api.js";
import { clock, el, figure, token } from "./dom.js";
import * as draw from "./lanes.js";

const WAVE_HEIGHT = 116;
const SEEK_STEP_S = 5;

/** Events: "seek" with detail = seconds. */
export class Stage extends EventTarget {
  constructor() {
    super();
    this.total = 1;
    this.time = 0;
    this.lanes = [];
    this.canvas = el("canvas", { class: "lane-canvas" });
    this.wave = el("div", { class: "wave" }, this.canvas);
    this.axis = el("div", { class: "axis", "aria-hidden": "true" });
    this.head = el("div", { class: "playhead", "aria-hidden": "true" });
    this.hover = el("div", { class: "hover", "aria-hidden": "true", hidden: true });
    this.track = el("div", { class: "track", role: "slider", tabindex: "0", "aria-label": "Position", "aria-valuemin": "0", onkeydown: (event) => this.#key(event) });
    this.track.append(this.head, this.hover);
    this.node = el("div", { class: "stage" }, this.track);
    this.track.addEventListener("pointerdown", (event) => this.#drag(event));
    this.track.addEventListener("pointermove", (event) => this.#hovered(event));
    this.track.addEventListener("pointerleave", () => (this.hover.hidden = true));
    this.#lay([this.#lane("Waveform", "wave-lane", this.wave)]);
    new ResizeObserver(() => this.repaint()).observe(this.track);
  }

  #lane(name, kind, node, note = "") {
    return el("div", { class: `lane ${kind}` }, el("div", { class: "lane-name" }, el("span", {}, name), note ? el("small", {}, note) : ""), el("div", { class: "lane-body" }, node));
  }

  #lay(lanes) {
    this.track.replaceChildren(...lanes, el("div", { class: "lane axis-lane" }, el("div", { class: "lane-name" }), el("div", { class: "lane-body" }, this.axis)), this.head, this.hover);
  }

  /** The part of the track that is the time axis: [left, width] in its own pixels. */
  #span() {
    const body = this.wave.getBoundingClientRect();
    return [body.left - this.track.getBoundingClientRect().left, body.width];
  }

  #secondsAt(event) {
    const [left, width] = this.#span();
    const x = event.clientX - this.track.getBoundingClientRect().left - left;
    return Math.min(1, Math.max(0, x / width)) * this.total;
  }

  #drag(event) {
    if (event.button !== 0) return;
    const move = (now) => this.dispatchEvent(new CustomEvent("seek", { detail: this.#secondsAt(now) }));
    move(event);
    this.track.setPointerCapture(event.pointerId);
    this.track.addEventListener("pointermove", move);
    const end = () => this.track.removeEventListener("pointermove", move);
    this.track.addEventListener("pointerup", end, { once: true });
    this.track.addEventListener("pointercancel", end, { once: true });
  }

  #hovered(event) {
    const [left, width] = this.#span();
    const seconds = this.#secondsAt(event);
    this.hover.hidden = event.pointerType === "touch";
    this.hover.style.left = `${left + (seconds / this.total) * width}px`;
    this.hover.textContent = clock(seconds, true);
  }

  #key(event) {
    const to = { ArrowRight: this.time + SEEK_STEP_S, ArrowLeft: this.time - SEEK_STEP_S, Home: 0, End: this.total }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.dispatchEvent(new CustomEvent("seek", { detail: Math.min(this.total, Math.max(0, to)) }));
  }

  /** While it is made: `live` has what has come, `total` is how long it will be. */
  grow(live, total) {
    this.live = live;
    this.total = Math.max(total, live?.seconds ?? 0, 0.1);
    this.#paintLive();
    this.#axis();
  }

  #paintLive() {
    const { peaks = [], seconds = 0 } = this.live ?? {};
    if (!this.surfer) draw.growing(this.canvas, { peaks, seconds, total: this.total, time: this.time });
  }

  /** Once it is done: everything. `media` is the element that plays it. */
  show(analysis, media) {
    this.analysis = analysis;
    this.live = null;
    this.total = analysis.duration_s || 0.1;
    this.surfer?.destroy();
    this.wave.replaceChildren();
    this.surfer = WaveSurfer.create({
      container: this.wave, media, peaks: analysis.peaks.channels, duration: this.total, height: WAVE_HEIGHT, interact: false, cspNonce: nonce,
      barWidth: 2, barGap: 1, barRadius: 2, cursorWidth: 0, hideScrollbar: true, normalize: true, ...this.#colours(),
    });
    const canvases = { spectrogram: el("canvas", { class: "lane-canvas" }), chroma: el("canvas", { class: "lane-canvas" }), melody: el("canvas", { class: "lane-canvas" }), loudness: el("canvas", { class: "lane-canvas" }) };
    this.canvases = canvases;
    const { melody } = analysis;
    const agreed = melody && melody.agreement !== null ? `${Math.round(100 * melody.agreement)} % agree` : "";
    const lanes = [this.#lane("Waveform", "wave-lane", this.wave), this.#lane("Spectrogram", "spectrogram-lane", canvases.spectrogram, "20 Hz – 16 kHz")];
    const { hz } = analysis.spectrogram;
    if (hz?.length) lanes[1].querySelector("small").textContent = `${hertz(hz[0])} – ${hertz(hz.at(-1))}`;
    lanes.push(this.#lane("Chroma", "chroma-lane", canvases.chroma, "C to B"));
    if (melody) lanes.push(this.#lane("Melody given", "chroma-lane melody-lane", canvases.melody, agreed));
    const { loudness_lufs: level } = analysis;
    lanes.push(this.#lane("Loudness", "loudness-lane", canvases.loudness, level === null ? "" : `${figure(level)} LUFS`));
    this.#lay(lanes);
    this.repaint();
  }

  #colours() {
    return { waveColor: token("--wave"), progressColor: token("--accent") };
  }

  #axis() {
    const [, width] = this.#span();
    const made = draw.marks(this.total, Math.max(2, width / 72)).map((t) => {
      const mark = el("span", {}, clock(t, t % 1 !== 0));
      mark.style.left = `${(100 * t) / this.total}%`;
      return mark;
    });
    this.axis.replaceChildren(...made);
  }

  /** Draw everything again: in another size, or other colours. */
  repaint() {
    this.#axis();
    this.at(this.time);
    if (!this.surfer) {
      this.#paintLive();
      return;
    }
    const { analysis, canvases } = this;
    draw.spectrogram(canvases.spectrogram, analysis.spectrogram);
    draw.chroma(canvases.chroma, analysis.chroma);
    if (analysis.melody) draw.chroma(canvases.melody, analysis.melody.chroma);
    draw.loudness(canvases.loudness, analysis.loudness, this.total);
  }

  recolour() {
    this.surfer?.setOptions(this.#colours());
    this.repaint();
  }

  /** The playhead. */
  at(seconds) {
    this.time = seconds;
    const [left, width] = this.#span();
    this.head.style.transform = `translateX(${left + (Math.min(seconds, this.total) / this.total) * width}px)`;
    this.track.setAttribute("aria-valuemax", this.total.toFixed(1));
    this.track.setAttribute("aria-valuenow", seconds.toFixed(1));
    this.track.setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(this.total)}`);
    if (!this.surfer) this.#paintLive();
    else this.surfer.getRenderer().renderProgress(Math.min(1, seconds / this.total), true);
  }

  close() {
    this.surfer?.destroy();
  }
}

function hertz(value) {
  return value >= 1000 ? `${Math.round(value / 1000)} kHz` : `${Math.round(value)} Hz`;
}
