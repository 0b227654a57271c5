// A recording as an input: by drop, file, microphone, URL or an earlier result; its part is chosen
// with handles on its waveform.

import WaveSurfer from "../vendor/wavesurfer/wavesurfer.esm.js";
import Regions from "../vendor/wavesurfer/regions.esm.js";
import { nonce, upload } from "./api.js";
import { ask, bytes, clock, el, icon, iconButton, say, token } from "./dom.js";
import { Microphone } from "./microphone.js";

const MIN_PART_S = 1;
const HEIGHT = 56;

export class Recording {
  /** `trim(start_s, end_s|null)` is told when the handles move; null: to the end. */
  constructor(field, { limits, trim }) {
    this.field = field;
    this.limits = limits;
    this.trim = trim;
    this.state = null; // {url: as the input, name, play: URL that this page can play, or null}
    this.isBusy = false;
    this.companions = el("div", { class: "companions" });
    this.box = el("div", { class: "recording" });
    this.kind = {
      node: this.box,
      isGroup: true,
      get: () => this.state?.url,
      set: (value) => (value ? this.show({ url: value, name: value, play: null }) : this.clear()),
      focus: () => this.box.querySelector("button")?.focus(),
    };
    this.#offer();
    for (const kind of ["dragover", "dragleave", "drop"]) this.box.addEventListener(kind, (event) => this.#dragged(event));
  }

  #dragged(event) {
    if (this.state || ![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    this.box.classList.toggle("over", event.type === "dragover");
    if (event.type === "drop" && event.dataTransfer.files.length) this.send(event.dataTransfer.files[0]);
  }

  /** Nothing is chosen: the ways to choose. */
  #offer() {
    const file = el("input", {
      type: "file", accept: "audio/*,video/*", class: "hidden", tabindex: "-1", "aria-label": `${this.field.input.title} file`, id: `${this.field.id}-file`,
      onchange: () => file.files.length && this.send(file.files[0]),
    });
    const button = (name, text, onclick) => el("button", { type: "button", class: "button small", onclick }, icon(name), text);
    const record = button("mic", "Record", () => this.#record());
    if (!Microphone.isThere) {
      record.disabled = true;
      record.title = "The browser gives the microphone to pages on https or localhost only.";
    }
    this.box.className = "recording empty";
    this.box.replaceChildren(
      el("p", { class: "muted" }, "Drop a file here, or"),
      el("div", { class: "row wrap" }, button("file", "Choose file", () => file.click()), record, button("link", "URL", () => this.#askUrl())),
      file,
    );
  }

  async #askUrl() {
    const url = await ask({ title: "A recording’s URL", text: "The server fetches it when the music is made.", type: "url", placeholder: "https://", confirm: "Use it" });
    if (url) this.show({ url, name: url, play: null });
  }

  async #record() {
    let microphone;
    try {
      microphone = await Microphone.start();
    } catch {
      this.field.complain("The browser did not allow the microphone.");
      return;
    }
    const time = el("span", { class: "time" }, "0:00");
    const tick = setInterval(() => (time.textContent = clock(microphone.seconds)), 200);
    const end = async (isKept) => {
      clearInterval(tick);
      const blob = await microphone.stop();
      if (isKept) this.send(blob, `recording.${blob.type.includes("mp4") ? "m4a" : "webm"}`);
      else this.#offer();
    };
    this.box.className = "recording live";
    this.box.replaceChildren(
      el("span", { class: "dot" }),
      el("span", { class: "grow" }, "Recording ", time),
      el("button", { type: "button", class: "button small primary", onclick: () => end(true) }, icon("stop"), "Done"),
      iconButton("close", "Discard the recording", () => end(false)),
    );
    this.box.querySelector(".primary").focus();
    say("Recording");
  }

  /** Upload a file and show it; what is wrong is said at the field. */
  async send(blob, name = blob.name) {
    if (blob.size > this.limits.max_upload_bytes) {
      this.field.complain(`${name} has ${bytes(blob.size)}; this server takes ${bytes(this.limits.max_upload_bytes)}.`);
      return;
    }
    this.field.complain("");
    this.isBusy = true;
    this.box.className = "recording busy";
    this.box.replaceChildren(el("span", { class: "spinner" }), el("span", {}, `Sending ${name}…`));
    try {
      const url = await upload(blob, name);
      this.show({ url, name, play: URL.createObjectURL(blob) });
    } catch (error) {
      this.#offer();
      this.field.complain(error.message);
    } finally {
      this.isBusy = false;
    }
  }

  clear() {
    this.#forget();
    this.state = null;
    this.#offer();
    this.field.touched();
  }

  #forget() {
    this.wave?.destroy();
    this.wave = this.region = null;
    this.hadName = null;
  }

  /** Show what was chosen. */
  show(state) {
    this.#forget();
    this.state = state;
    this.time = el("span", { class: "muted time" });
    const listen = iconButton("play", "Play the recording", () => this.wave?.playPause());
    const wave = el("div", { class: "recording-wave" });
    this.box.className = "recording full";
    this.box.replaceChildren(
      el("div", { class: "row" }, state.play ? listen : icon("link", "muted"), el("span", { class: "grow clip", title: state.name }, state.name), this.time, iconButton("close", "Remove the recording", () => this.clear())),
      state.play ? wave : "",
      this.companions,
    );
    if (state.play) this.#draw(wave, listen, state.play);
    this.field.touched();
  }

  #draw(node, listen, url) {
    const regions = Regions.create();
    this.wave = WaveSurfer.create({
      container: node, url, height: HEIGHT, cspNonce: nonce, plugins: [regions], barWidth: 2, barGap: 1, barRadius: 2,
      waveColor: token("--wave"), progressColor: token("--accent"), cursorColor: token("--ink"), normalize: true,
    });
    const wave = this.wave;
    wave.on("ready", (duration) => {
      if (wave !== this.wave) return;
      this.duration = duration;
      this.region = regions.addRegion({ start: 0, end: duration, drag: true, resize: true, minLength: Math.min(MIN_PART_S, duration), color: token("--region") });
      this.region.on("update-end", () => this.#moved());
      this.field.touched();
      this.box.dataset.ready = "true";
    });
    wave.on("error", () => {
      if (wave === this.wave) this.time.textContent = "no preview";
    });
    const shown = (is) => {
      listen.replaceChildren(icon(is ? "pause" : "play"));
      listen.setAttribute("aria-label", is ? "Pause the recording" : "Play the recording");
    };
    wave.on("play", () => shown(true));
    wave.on("pause", () => shown(false));
  }

  #moved() {
    const { start, end } = this.region;
    this.isMoving = true;
    this.trim(start < 0.05 ? 0 : start, end > this.duration - 0.05 ? null : end);
    this.isMoving = false;
    this.field.touched();
  }

  /** The numbers beside it have changed: the handles follow. */
  marked(start, end) {
    if (!this.region) return;
    const from = Math.min(Math.max(start || 0, 0), this.duration);
    const to = end > from ? Math.min(end, this.duration) : this.duration;
    this.time.textContent = from || to < this.duration ? `${clock(from, true)}–${clock(to, true)}` : clock(this.duration, true);
    if (!this.isMoving) this.region.setOptions({ start: from, end: to });
  }

  repaint() {
    this.wave?.setOptions({ waveColor: token("--wave"), progressColor: token("--accent"), cursorColor: token("--ink") });
    this.region?.setOptions({ color: token("--region") });
  }
}
