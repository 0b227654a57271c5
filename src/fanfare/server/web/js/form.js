// The form: a control for each input of the chosen model's version.

import { el, icon, iconButton, kept } from "./dom.js";
import { Field, seed } from "./fields.js";
import { Recording } from "./recording.js";

/** Inputs with a tool of their own, where a schema has them; all others are shown by type alone. */
const WITH = { ideas: "prompt", seed: "seed", recording: "input_audio" };
const BESIDE_RECORDING = ["continuation", "continuation_start", "continuation_end"];
const N_IN_FRONT = 3;
const N_IDEAS = 3;

export class Form {
  /** `on.run(values)`, `on.change()`; `shownSeed()` is that of the piece on show, or null. */
  constructor(node, { on, shownSeed, limits }) {
    this.node = node;
    this.on = on;
    this.shownSeed = shownSeed;
    this.limits = limits;
    this.ideas = [];
    this.fields = new Map();
    node.addEventListener("submit", (event) => {
      event.preventDefault();
      this.run();
    });
    node.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        this.run();
      }
    });
  }

  /** Show other inputs; what was written goes over where a name is the same. */
  show(inputs, ideas) {
    const before = this.values();
    const recorded = this.recording?.state ?? null;
    this.recording?.clear();
    this.ideas = ideas;
    this.recording = null;
    this.fields = new Map(inputs.map((input) => [input.name, this.#field(input)]));
    const beside = BESIDE_RECORDING.filter((name) => this.recording && this.fields.has(name));
    const others = inputs.map(({ name }) => name).filter((name) => !beside.includes(name));
    for (const name of beside) this.recording.companions.append(this.fields.get(name).node);
    this.count = el("span", { class: "badge", hidden: true });
    this.more = el(
      "details",
      { class: "more", open: kept.get("settings") === "open", ontoggle: () => kept.set("settings", this.more.open ? "open" : "shut") },
      el("summary", {}, el("span", {}, "Settings"), this.count, icon("chevron", "turn")),
      el("div", { class: "more-in" }, ...others.slice(N_IN_FRONT).map((name) => this.fields.get(name).node)),
    );
    this.runButton = el("button", { type: "submit", class: "button primary run" }, el("span", {}, "Generate"), el("kbd", {}, "Ctrl ↵"));
    this.message = el("p", { class: "form-error", role: "alert", hidden: true });
    this.node.replaceChildren(
      ...others.slice(0, N_IN_FRONT).flatMap((name) => (name === WITH.ideas ? [this.fields.get(name).node, this.#ideasNode()] : [this.fields.get(name).node])),
      others.length > N_IN_FRONT ? this.more : "",
      el("div", { class: "run-bar" }, this.message, el("div", { class: "row" }, this.runButton, iconButton("reset", "Reset all", () => this.reset()))),
    );
    if (recorded && this.recording) this.recording.show(recorded);
    this.fill(before);
  }

  #field(input) {
    const onchange = () => this.#changed();
    if (input.name === WITH.seed) return new Field(input, onchange, { kind: seed, shown: this.shownSeed });
    if (input.name === WITH.recording) {
      const kind = (field) => {
        this.recording = new Recording(field, { limits: this.limits, trim: (start, end) => this.#trim(start, end) });
        return this.recording.kind;
      };
      return new Field(input, onchange, { kind });
    }
    return new Field(input, onchange);
  }

  #ideasNode() {
    const list = el("ul", { class: "ideas" });
    const shuffle = () => {
      const picked = [...this.ideas].sort(() => Math.random() - 0.5).slice(0, N_IDEAS);
      list.replaceChildren(
        ...picked.map((idea) => el("li", {}, el("button", { type: "button", class: "idea", onclick: () => this.fill({ [WITH.ideas]: idea }) }, icon("spark"), el("span", {}, idea)))),
      );
    };
    shuffle();
    if (!this.ideas.length) return "";
    return el(
      "div",
      { class: "ideas-box" },
      el("div", { class: "ideas-head" }, el("span", {}, "Ideas"), iconButton("dice", "Other ideas", shuffle, { class: "icon-button small" })),
      list,
    );
  }

  /** The handles on the recording have moved: whole seconds where the schema wants them. */
  #trim(start, end) {
    const [, first, last] = BESIDE_RECORDING.map((name) => this.fields.get(name));
    const fitted = (field, value) => (field.input.type === "integer" ? Math.round(value) : Number(value.toFixed(2)));
    first?.set(start ? fitted(first, start) : undefined);
    last?.set(end === null ? undefined : fitted(last, end));
  }

  #changed() {
    if (!this.count) return;
    const inside = [...this.fields.values()].filter((field) => this.more.contains(field.node));
    const n = inside.filter((field) => field.isChanged).length;
    this.count.textContent = `${n} changed`;
    this.count.hidden = n === 0;
    const [, start, end] = BESIDE_RECORDING.map((name) => this.fields.get(name)?.get());
    this.recording?.marked(start, end);
    this.on.change();
  }

  /** The request's input: what is set and isn't what the model assumes anyway. */
  values() {
    const made = {};
    for (const [name, field] of this.fields) {
      const isIdle = BESIDE_RECORDING.includes(name) && this.recording && !this.recording.state;
      if (field.isChanged && !isIdle) made[name] = field.get();
    }
    return made;
  }

  /** Put values in, leaving the others as they are. */
  fill(values) {
    for (const [name, value] of Object.entries(values)) {
      if (name !== WITH.recording) this.fields.get(name)?.set(value);
    }
    this.#changed();
  }

  /** Everything as in `values`, all else reset. `recording`: {url, name, play}. */
  replace(values, recording = null) {
    for (const [name, field] of this.fields) if (name !== WITH.recording) field.set(values[name]);
    if (this.recording) {
      if (recording) this.recording.show(recording);
      else this.recording.clear();
    }
    this.#changed();
  }

  reset() {
    this.replace({});
    this.complain("", {});
  }

  run() {
    for (const field of this.fields.values()) {
      if (Number.isNaN(field.get())) {
        this.complain("", { [field.input.name]: "This is not a number." });
        return;
      }
    }
    if (this.recording?.isBusy) {
      this.complain("The recording is still being sent; one moment.", {});
      return;
    }
    this.complain("", {});
    this.on.run(this.values());
  }

  busy(is) {
    this.runButton.classList.toggle("busy", is);
    this.runButton.setAttribute("aria-busy", String(is));
  }

  /** Put each reason beside its field, and the first of them into view. */
  complain(text, fields) {
    const known = Object.entries(fields).filter(([name]) => this.fields.has(name));
    for (const [name, field] of this.fields) field.complain(fields[name] ?? "");
    const shown = known.length ? "" : text;
    this.message.textContent = shown;
    this.message.hidden = !shown;
    if (!known.length) return;
    const field = this.fields.get(known[0][0]);
    if (this.more.contains(field.node)) this.more.open = true;
    field.node.scrollIntoView({ block: "nearest", behavior: "smooth" });
    field.kind.focus?.();
  }

  focus() {
    this.fields.values().next().value?.kind.focus?.();
  }
}
