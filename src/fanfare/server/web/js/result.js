// The piece on show: while it waits, while it is made (and heard), and when it is done.

import * as api from "./api.js";
import { clock, copy, el, figure, icon, iconButton, say, span, toast } from "./dom.js";
import { allowSound, canFollow } from "./live.js";
import { Player } from "./player.js";
import { Stage } from "./stage.js";

const POLL_MS = 350;
const SOON_MS = 120;
const FINAL = new Set(["succeeded", "failed", "canceled"]);
const STATUS = { starting: "Waiting", processing: "Making music", succeeded: "Done", failed: "Failed", canceled: "Stopped" };

export class Result {
  /** `on`: changed(entry), again(entry), carryOn(entry), use(entry), settings(entry), compare(entry). */
  constructor(node, on) {
    this.node = node;
    this.on = on;
    this.entry = null;
    this.turn = 0;
    this.empty();
    document.addEventListener("keydown", (event) => {
      if (event.key !== " " || event.target.closest("input, textarea, select, button, a, summary, dialog")) return;
      event.preventDefault();
      this.#toggle();
    });
  }

  empty() {
    this.#leave();
    this.node.replaceChildren(
      el(
        "div",
        { class: "card empty-state" },
        el("div", { class: "rays", "aria-hidden": "true" }, ...[26, 48, 78, 58, 92, 70, 100, 64, 84, 44, 62, 30, 18].map((n) => {
          const bar = el("i");
          bar.style.height = `${n}%`;
          return bar;
        })),
        el("h1", {}, "Say what you want to hear"),
        el("p", { class: "muted" }, "Name instruments, a mood, a tempo, a key. The music begins to play while it is still being made."),
      ),
    );
  }

  #leave() {
    this.turn += 1;
    clearTimeout(this.timer);
    this.player?.close();
    this.stage?.close();
    this.player = this.stage = null;
    this.entry = null;
  }

  /** Show a piece. `plays`: heard as soon as there is anything to hear. */
  show(entry, { plays = false, isShared = false, load = () => api.entry(entry.id) } = {}) {
    this.#leave();
    this.load = load;
    this.isShared = isShared;
    this.entry = entry;
    this.#build();
    this.#listen(plays);
    this.#update(entry);
    if (plays && entry.status === "succeeded") this.player.toggle();
    if (!FINAL.has(entry.status)) this.#poll(this.turn, SOON_MS);
  }

  #build() {
    this.player = new Player();
    this.stage = new Stage();
    this.badge = el("span", { class: "status-badge" });
    this.star = iconButton("star", "Star this piece", () => this.#star(), { class: "icon-button star", "aria-pressed": "false" });
    this.star.hidden = this.isShared;
    this.title = el("h1", { class: "piece-title" });
    this.playButton = el("button", { type: "button", class: "play", "aria-label": "Play", onclick: () => this.#toggle() }, icon("play"));
    this.clock = el("span", { class: "time" });
    this.progress = el("div", { class: "progress", role: "progressbar", "aria-label": "Progress", "aria-valuemin": "0", "aria-valuemax": "100" }, el("i"));
    this.progressText = el("span", { class: "progress-text" });
    this.stopButton = el("button", { type: "button", class: "button stop", onclick: () => this.#stop() }, icon("stop"), "Stop");
    this.working = el("div", { class: "working" }, this.progressText, this.progress, this.stopButton);
    this.transport = el("div", { class: "transport" }, this.playButton, this.clock, this.working);
    this.problem = el("div", { class: "problem", role: "alert", hidden: true });
    this.figures = el("dl", { class: "figures", hidden: true });
    this.actions = el("div", { class: "actions", hidden: true });
    this.details = el("div", { class: "details" });
    this.compared = el("div", { class: "compared" });
    this.card = el("article", { class: "card piece" }, el("div", { class: "piece-head" }, el("div", { class: "grow" }, this.badge, this.title), this.star), this.problem, this.transport, this.stage.node, this.figures, this.actions, this.details);
    this.node.replaceChildren(this.card, this.compared);
    const { player, stage } = this;
    player.addEventListener("state", () => this.#played());
    player.addEventListener("time", () => this.#timed());
    player.addEventListener("grown", () => stage.grow(player.live, this.#expected()));
    stage.addEventListener("seek", ({ detail }) => player.seek(detail));
  }

  /** Seconds that the piece is to have, as far as that is known. */
  #expected() {
    const { duration_s: done, input } = this.entry;
    return done ?? (this.on.expected?.(input) || this.player.live?.seconds || 1);
  }

  #listen(plays) {
    const { entry } = this;
    if (FINAL.has(entry.status) || !entry.audio_url || !plays) return;
    if (canFollow(entry.input.output_format)) this.player.follow(entry.audio_url);
    else this.player.playGrowing(entry.audio_url);
  }

  #toggle() {
    if (!this.player) return;
    allowSound();
    if (this.player.live || this.player.media.src) this.player.toggle();
    else this.#listen(true);
  }

  #played() {
    const plays = this.player?.isPlaying;
    this.playButton.replaceChildren(icon(plays ? "pause" : "play"));
    this.playButton.setAttribute("aria-label", plays ? "Pause" : "Play");
    this.card.classList.toggle("playing", Boolean(plays));
  }

  #timed() {
    if (!this.player) return;
    const { time } = this.player;
    this.stage.at(time);
    this.clock.textContent = `${clock(time, true)} / ${clock(this.stage.total)}`;
  }

  #poll(turn, wait) {
    this.timer = setTimeout(async () => {
      try {
        const entry = await this.load();
        if (turn !== this.turn) return;
        this.#update(entry);
        this.on.changed(entry);
        if (!FINAL.has(entry.status)) this.#poll(turn, POLL_MS);
      } catch (error) {
        if (turn !== this.turn) return;
        if (error.status === 404) this.empty();
        else this.#poll(turn, 4 * POLL_MS);
      }
    }, wait);
  }

  #update(entry) {
    const before = this.entry.status;
    this.entry = entry;
    const isOver = FINAL.has(entry.status);
    this.badge.textContent = STATUS[entry.status] ?? entry.status;
    this.badge.dataset.status = entry.status;
    this.title.textContent = entry.input.prompt || "Without a prompt";
    this.#starred(entry.starred);
    this.working.hidden = isOver;
    this.transport.hidden = entry.status === "failed" || entry.status === "canceled";
    this.stage.node.hidden = this.transport.hidden;
    if (!isOver) this.#working(entry);
    if (entry.status === "failed") this.#failed(entry.error || "The server gave no reason.");
    if (entry.status === "canceled") this.#failed("You stopped it before it was done.", "quiet");
    if (entry.data_removed) this.#failed("Its music has been removed from the server.", "quiet");
    if (!this.stage.analysis) this.stage.grow(this.player.live, this.#expected());
    if (isOver && this.overIs !== this.turn) {
      this.overIs = this.turn;
      this.#over(entry, before);
    }
    this.#timed();
  }

  #working(entry) {
    const { progress, position } = entry;
    const share = progress?.n_steps ? progress.step / progress.n_steps : 0;
    const left = progress?.seconds_left;
    let text = "Starting…";
    if (entry.status === "starting" && position !== null) text = position === 0 ? "Next in the queue" : `${position} ahead in the queue`;
    else if (share > 0) text = `${Math.floor(100 * share)} %${left === null || left === undefined ? "" : ` · ${span(Math.max(1, left))} left`}`;
    this.progressText.textContent = text;
    this.progress.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    this.progress.firstChild.style.transform = `scaleX(${share})`;
    this.progress.classList.toggle("waiting", share === 0);
  }

  #failed(text, kind = "") {
    if (kind) this.player.close();
    this.problem.hidden = false;
    this.problem.className = `problem ${kind}`;
    this.problem.replaceChildren(icon(kind ? "stop" : "alert"), el("p", {}, text), this.isShared ? "" : el("button", { type: "button", class: "button small", onclick: () => this.on.settings(this.entry) }, "Use its settings"));
    if (!kind) this.player.close();
  }

  async #over(entry, before) {
    const { turn } = this;
    if (before !== entry.status) say(STATUS[entry.status]);
    this.#details(entry);
    if (entry.status !== "succeeded" || !entry.audio_url) return;
    this.player.take(entry.audio_url);
    this.#actions(entry);
    try {
      const analysis = await api.get(entry.analysis_url);
      if (turn !== this.turn) return;
      this.analysis = analysis;
      this.stage.show(analysis, this.player.media);
      this.#figures(entry, analysis);
      this.#timed();
      this.card.dataset.ready = "true";
    } catch (error) {
      if (turn === this.turn) toast(`The piece could not be looked at: ${error.message}`, "bad");
    }
  }

  #figures(entry, analysis) {
    const { loudness_lufs: level, true_peak_dbfs: peak } = analysis;
    const known = [
      ["Duration", `${figure(analysis.duration_s)} s`],
      ["Loudness", level === null ? "silent" : `${figure(level)} LUFS`],
      ["True peak", peak === null ? "none" : `${figure(peak)} dBTP`],
      entry.rtf ? ["Speed", `${figure(entry.rtf)}× real time`] : null,
      analysis.melody?.agreement != null ? ["Melody", `${Math.round(100 * analysis.melody.agreement)} % agree`] : null,
    ].filter(Boolean);
    const { seed } = entry;
    const rows = known.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)));
    if (seed !== null && seed !== undefined) {
      rows.push(el("div", {}, el("dt", {}, "Seed"), el("dd", {}, el("button", { type: "button", class: "copy", title: "Copy the seed", onclick: () => copy(String(seed), "Seed copied") }, String(seed), icon("copy")))));
    }
    this.figures.replaceChildren(...rows);
    this.figures.hidden = false;
  }

  #actions(entry) {
    const button = (name, text, onclick, props = {}) => el("button", { type: "button", class: "button", onclick, ...props }, icon(name), text);
    const links = Object.entries(entry.downloads ?? {}).map(([format, href]) => el("a", { class: "button", href, download: "", "aria-label": `Download ${format}` }, format));
    const downloads = el("div", { class: "joined", role: "group", "aria-label": "Download" }, el("span", { class: "joined-name" }, icon("down"), "Download"), ...links);
    const own = [
      button("next", "Continue this", () => this.on.carryOn(this.entry)),
      button("again", "New seed", () => this.on.again(this.entry), { title: "The same again with a new seed" }),
      button("file", "Use as melody", () => this.on.use(this.entry), { title: "This piece as the recording of the next" }),
      button("ab", "Compare", () => this.on.compare(this.entry), { title: "A/B with another piece" }),
      button("share", "Share", () => copy(new URL(this.entry.share_url, location.href).href, "Link copied")),
    ];
    this.actions.replaceChildren(...(this.isShared ? [] : own), el("span", { class: "grow" }), downloads);
    this.actions.hidden = false;
  }

  #details(entry) {
    const rows = Object.entries(entry.input).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, name === "input_audio" && entry.recording ? entry.recording.name : String(value))));
    const use = this.isShared ? "" : el("button", { type: "button", class: "button small", onclick: () => this.on.settings(this.entry) }, "Use these settings");
    const model = entry.model ? el("div", {}, el("dt", {}, "model"), el("dd", {}, entry.model)) : "";
    const parts = [el("details", {}, el("summary", {}, el("span", {}, "Its settings"), icon("chevron", "turn")), el("dl", { class: "settings" }, model, ...rows), use)];
    if (entry.logs) parts.push(el("details", {}, el("summary", {}, el("span", {}, "Log"), icon("chevron", "turn")), el("pre", { class: "log", tabindex: "0", "aria-label": "Log" }, entry.logs)));
    this.details.replaceChildren(...parts);
  }

  #starred(is) {
    this.star.setAttribute("aria-pressed", String(Boolean(is)));
    this.star.setAttribute("aria-label", is ? "Unstar this piece" : "Star this piece");
  }

  async #star() {
    try {
      const entry = await api.put(`v1/history/${this.entry.id}`, { starred: !this.entry.starred });
      this.entry = { ...this.entry, starred: entry.starred };
      this.#starred(entry.starred);
      this.on.changed(entry);
    } catch (error) {
      toast(error.message, "bad");
    }
  }

  async #stop() {
    this.stopButton.disabled = true;
    this.player.pause();
    try {
      await api.cancel(this.entry.id);
    } catch (error) {
      this.stopButton.disabled = false;
      toast(error.message, "bad");
    }
  }

  /** Another place has starred, renamed or deleted it. */
  told(entry) {
    if (this.entry?.id !== entry.id) return;
    this.entry = { ...this.entry, starred: entry.starred };
    this.#starred(entry.starred);
  }

  recolour() {
    this.stage?.recolour();
  }
}
