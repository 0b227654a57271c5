// A/B: two pieces in step, switched without a gap, the louder one brought down to the other.

import * as api from "./api.js";
import { clock, el, figure, icon, iconButton, toast, token } from "./dom.js";
import WaveSurfer from "../vendor/wavesurfer/wavesurfer.esm.js";

const NAMES = ["A", "B"];
const MAX_DRIFT_S = 0.04;

export class Compare {
  constructor(node, entries, onclose) {
    this.node = node;
    this.entries = entries;
    this.onclose = onclose;
    this.chosen = 0;
    this.isMatched = true;
    this.levels = [null, null];
    this.media = entries.map((entry) => {
      const made = new Audio(entry.audio_url);
      made.preload = "auto";
      return made;
    });
    for (const media of this.media) media.addEventListener("ended", () => this.#pause());
    this.#build();
    this.#mix();
    this.#load();
  }

  #build() {
    this.playButton = el("button", { type: "button", class: "play", "aria-label": "Play both", onclick: () => this.toggle() }, icon("play"));
    this.clock = el("span", { class: "time" }, "0:00.0");
    this.sides = this.entries.map((entry, i) => {
      const radio = el("input", { type: "radio", name: "ab", class: "hidden", value: NAMES[i], checked: i === 0, onchange: () => this.choose(i) });
      const wave = el("div", { class: "ab-wave", onclick: (event) => this.#seek(event, i) });
      const note = el("small", { class: "ab-note" });
      const node = el("div", { class: "ab-side" }, el("label", { class: "ab-name" }, radio, el("b", {}, NAMES[i]), el("span", { class: "clip grow" }, entry.input.prompt || "Without a prompt"), el("span", { class: "muted" }, entry.seed === null ? "" : `seed ${entry.seed}`), note), wave);
      return { radio, wave, note, node };
    });
    const match = el("input", { type: "checkbox", role: "switch", class: "switch", id: "ab-match", checked: true, onchange: () => ((this.isMatched = match.checked), this.#mix()) });
    this.card = el(
      "section",
      { class: "card compare", "aria-label": "Compare A and B" },
      el("div", { class: "row" }, el("h2", { class: "grow" }, "A / B"), el("label", { class: "switch-line", for: "ab-match" }, "Match levels", match), iconButton("close", "Close the comparison", () => this.close())),
      el("div", { class: "row" }, this.playButton, this.clock, el("span", { class: "muted grow end" }, "Keys ", el("kbd", {}, "A"), " ", el("kbd", {}, "B"))),
      ...this.sides.map(({ node }) => node),
    );
    this.onkey = (event) => {
      const side = NAMES.indexOf(event.key.toUpperCase());
      if (side < 0 || event.ctrlKey || event.metaKey || event.target.closest("input:not([type=radio]), textarea, select")) return;
      this.choose(side);
    };
    document.addEventListener("keydown", this.onkey);
    this.node.replaceChildren(this.card);
    this.card.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  async #load() {
    try {
      const found = await Promise.all(this.entries.map((entry) => api.get(entry.analysis_url)));
      this.levels = found.map(({ loudness_lufs: level }) => level);
      this.waves = found.map((analysis, i) =>
        WaveSurfer.create({
          container: this.sides[i].wave, media: this.media[i], peaks: analysis.peaks.channels, duration: analysis.duration_s, height: 52, cspNonce: api.nonce,
          barWidth: 2, barGap: 1, barRadius: 2, waveColor: token("--wave"), progressColor: token("--accent"), cursorColor: token("--ink"), interact: false, normalize: false,
        }),
      );
      this.#mix();
      this.card.dataset.ready = "true";
    } catch (error) {
      toast(`These can’t be compared: ${error.message}`, "bad");
    }
  }

  /** By how many dB each is brought down. */
  get trims() {
    const [a, b] = this.levels;
    if (!this.isMatched || a === null || b === null) return [0, 0];
    return [Math.min(0, b - a), Math.min(0, a - b)];
  }

  #mix() {
    this.trims.forEach((trim, i) => {
      this.media[i].volume = 10 ** (trim / 20);
      this.media[i].muted = i !== this.chosen;
      this.sides[i].note.textContent = trim < -0.05 ? `${figure(trim)} dB` : "";
      this.sides[i].node.classList.toggle("chosen", i === this.chosen);
      this.sides[i].radio.checked = i === this.chosen;
    });
  }

  choose(side) {
    this.chosen = side;
    this.#step();
    this.#mix();
  }

  /** Bring the two to the same place. */
  #step() {
    const [now, other] = [this.media[this.chosen], this.media[1 - this.chosen]];
    const at = Math.max(now.currentTime, 0);
    if (Math.abs(other.currentTime - at) > MAX_DRIFT_S && at < other.duration) other.currentTime = at;
  }

  #seek(event, side) {
    const { left, width } = this.sides[side].wave.getBoundingClientRect();
    const at = ((event.clientX - left) / width) * (this.media[side].duration || 0);
    for (const media of this.media) media.currentTime = Math.min(at, media.duration || 0);
    if (side !== this.chosen) this.choose(side);
    this.#shown();
  }

  async toggle() {
    if (!this.media[this.chosen].paused) {
      this.#pause();
      return;
    }
    this.#step();
    await Promise.all(this.media.map((media) => media.play())).catch(() => {});
    this.#shown();
    this.ticking = setInterval(() => this.#shown(), 60);
  }

  #pause() {
    clearInterval(this.ticking);
    for (const media of this.media) media.pause();
    this.#shown();
  }

  #shown() {
    const media = this.media[this.chosen];
    this.playButton.replaceChildren(icon(media.paused ? "play" : "pause"));
    this.playButton.setAttribute("aria-label", media.paused ? "Play both" : "Pause both");
    this.clock.textContent = clock(media.currentTime, true);
  }

  close() {
    this.#pause();
    document.removeEventListener("keydown", this.onkey);
    for (const wave of this.waves ?? []) wave.destroy();
    this.card.remove();
    this.onclose?.();
  }
}
