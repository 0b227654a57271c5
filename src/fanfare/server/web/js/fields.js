// One control for each kind of input that a schema can ask for.

import { el, icon, iconButton, prose } from "./dom.js";

const MAX_SEGMENTS = 4;
const WIDE_RANGE = 100; // beyond this ratio a slider moves by ratios, not by steps
const SLIDER_STEPS = 1000;
const MAX_SLIDER_RANGE = 10000;

/**
 * A labelled control. `kind.node` is the control itself; `kind.get()` gives its value or undefined
 * when it is empty, `kind.set(value)` shows one.
 */
export class Field {
  constructor(input, onchange, extras = {}) {
    this.input = input;
    this.id = `in-${input.name}`;
    this.onchange = onchange;
    this.kind = (extras.kind ?? kindFor(input))(this, extras);
    this.message = el("p", { class: "field-error", id: `${this.id}-error`, hidden: true });
    this.resetButton = iconButton("reset", `Reset ${input.title.toLowerCase()}`, () => this.reset(), {
      class: "icon-button small reset",
    });
    const isGroup = this.kind.isGroup ?? false;
    const name = isGroup
      ? el("span", { class: "field-name", id: `${this.id}-name` }, input.title)
      : el("label", { class: "field-name", id: `${this.id}-name`, for: this.id }, input.title);
    this.node = el(
      "div",
      { class: `field ${this.kind.layout ?? "stacked"}`, "data-field": input.name },
      el("div", { class: "field-head" }, name, this.resetButton, this.kind.aside ?? null),
      input.description ? el("p", { class: "field-help", id: `${this.id}-help` }, ...prose(input.description)) : null,
      this.kind.node,
      this.message,
    );
    this.touched(false);
  }

  /** The value as it is, or undefined. */
  get() {
    return this.kind.get();
  }

  set(value) {
    this.kind.set(value ?? this.input.default);
    this.touched();
  }

  reset() {
    this.set(undefined);
    this.kind.focus?.();
  }

  /** Whether it says anything else than the model would assume. */
  get isChanged() {
    const value = this.get();
    return value !== undefined && value !== this.input.default;
  }

  /** Say what is wrong with it, or nothing any more. */
  complain(text) {
    this.message.replaceChildren(...(text ? [icon("alert"), text] : []));
    this.message.hidden = !text;
    this.node.classList.toggle("wrong", Boolean(text));
    for (const control of this.node.querySelectorAll("input:not([type=range]), textarea, select, [role=radiogroup]")) {
      if (text) control.setAttribute("aria-invalid", "true");
      else control.removeAttribute("aria-invalid");
    }
  }

  touched(tell = true) {
    if (tell) this.complain("");
    this.resetButton.classList.toggle("shown", this.isChanged);
    this.resetButton.disabled = !this.isChanged;
    if (tell) this.onchange(this);
  }

  /** Attributes by which a control is tied to its label, help and error. */
  get ties() {
    const help = this.input.description ? `${this.id}-help ` : "";
    return { id: this.id, name: this.input.name, "aria-describedby": `${help}${this.id}-error` };
  }
}

function kindFor(input) {
  if (input.choices) return segments(input) ? choiceButtons : choiceList;
  if (input.type === "boolean") return toggle;
  if (input.type === "integer" || input.type === "number") return hasSlider(input) ? slider : number;
  return input.maxLength === null || input.maxLength > 200 ? longText : shortText;
}

function segments(input) {
  return input.choices.length <= MAX_SEGMENTS && input.choices.join("").length <= 28;
}

function hasSlider({ minimum, maximum }) {
  return minimum !== null && maximum !== null && maximum - minimum <= MAX_SLIDER_RANGE;
}

function longText(field) {
  const area = el("textarea", { ...field.ties, class: "input long", rows: 4, spellcheck: "true", oninput: () => (fit(), field.touched()) });
  if (field.input.maxLength !== null) area.maxLength = field.input.maxLength;
  // Grows with what is written; where the browser can't do that by itself, by its height.
  const fit = () => {
    if (CSS.supports("field-sizing: content")) return;
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight + 2}px`;
  };
  return {
    node: area,
    get: () => area.value.trim() || undefined,
    set: (value) => {
      area.value = value ?? "";
      fit();
    },
    focus: () => area.focus(),
  };
}

function shortText(field) {
  const line = el("input", { ...field.ties, class: "input", type: "text", autocomplete: "off", oninput: () => field.touched() });
  line.value = field.input.default ?? "";
  if (field.input.maxLength !== null) line.maxLength = field.input.maxLength;
  return {
    node: line,
    get: () => line.value.trim() || undefined,
    set: (value) => (line.value = value ?? ""),
    focus: () => line.focus(),
  };
}

function numberBox(field, oninput) {
  const { minimum, maximum, type } = field.input;
  const box = el("input", {
    ...field.ties,
    class: "input number",
    type: "number",
    inputmode: type === "integer" ? "numeric" : "decimal",
    step: type === "integer" ? "1" : "any",
    placeholder: field.input.default === undefined ? "none" : String(field.input.default),
    autocomplete: "off",
    oninput,
  });
  if (minimum !== null) box.min = minimum;
  if (maximum !== null) box.max = maximum;
  return box;
}

/** What stands in a number's box: undefined when empty, NaN when it is no number. */
function numberIn(box) {
  if (box.validity.badInput) return Number.NaN;
  return box.value === "" ? undefined : Number(box.value);
}

function number(field) {
  const box = numberBox(field, () => field.touched());
  box.value = field.input.default ?? "";
  return {
    node: box,
    layout: "beside",
    get: () => numberIn(box),
    set: (value) => (box.value = value ?? ""),
    focus: () => box.focus(),
  };
}

function slider(field) {
  const { minimum, maximum, type } = field.input;
  const isWide = minimum > 0 && maximum / minimum > WIDE_RANGE;
  const toPlace = (value) =>
    isWide ? Math.log(value / minimum) / Math.log(maximum / minimum) : (value - minimum) / (maximum - minimum);
  const fromPlace = (place) => {
    const exact = isWide ? minimum * (maximum / minimum) ** place : minimum + place * (maximum - minimum);
    return type === "integer" ? Math.round(exact) : Number(exact.toFixed(2));
  };
  const range = el("input", {
    type: "range", class: "slider", min: "0", max: String(SLIDER_STEPS), step: "1", "aria-label": field.input.title,
    // The box beside it says and takes the same: one stop of the tab key is enough.
    tabindex: "-1",
    "aria-hidden": "true",
    oninput: () => {
      box.value = fromPlace(range.value / SLIDER_STEPS);
      paint();
      field.touched();
    },
  });
  const box = numberBox(field, () => (follow(), field.touched()));
  const paint = () => range.style.setProperty("--place", range.value / SLIDER_STEPS);
  const follow = () => {
    const value = numberIn(box) ?? field.input.default ?? minimum;
    const place = toPlace(Math.min(maximum, Math.max(minimum, value)));
    range.value = Number.isFinite(place) ? Math.round(place * SLIDER_STEPS) : 0;
    paint();
  };
  box.value = field.input.default ?? "";
  follow();
  return {
    node: range,
    aside: box,
    layout: "sliding",
    get: () => numberIn(box),
    set: (value) => {
      box.value = value ?? "";
      follow();
    },
    focus: () => box.focus(),
  };
}

function toggle(field) {
  const box = el("input", { ...field.ties, type: "checkbox", role: "switch", class: "switch", onchange: () => field.touched() });
  box.checked = Boolean(field.input.default);
  return {
    node: box,
    layout: "beside",
    get: () => box.checked,
    set: (value) => (box.checked = Boolean(value)),
    focus: () => box.focus(),
  };
}

function choiceList(field) {
  const list = el("select", { ...field.ties, class: "input", onchange: () => field.touched() });
  if (field.input.default === undefined) list.append(el("option", { value: "" }, "none"));
  list.append(...field.input.choices.map((choice) => el("option", { value: String(choice) }, String(choice))));
  list.value = field.input.default ?? "";
  return {
    node: list,
    get: () => field.input.choices.find((choice) => String(choice) === list.value),
    set: (value) => (list.value = value ?? ""),
    focus: () => list.focus(),
  };
}

function choiceButtons(field) {
  const buttons = field.input.choices.map((choice) => {
    const radio = el("input", { type: "radio", name: field.input.name, value: String(choice), class: "hidden", onchange: () => field.touched() });
    return [radio, el("label", { class: "segment" }, radio, String(choice))];
  });
  const show = (value) => {
    for (const [radio] of buttons) radio.checked = radio.value === String(value);
  };
  show(field.input.default);
  const { name: _, ...ties } = field.ties;
  return {
    node: el("div", { ...ties, class: "segments", role: "radiogroup", "aria-labelledby": `${field.id}-name` }, ...buttons.map(([, label]) => label)),
    isGroup: true,
    get: () => field.input.choices[buttons.findIndex(([radio]) => radio.checked)],
    set: show,
    focus: () => (buttons.find(([radio]) => radio.checked) ?? buttons[0])[0].focus(),
  };
}

/** A seed: a number with dice, and the seed of the piece that is shown (`extras.shown()`). */
export function seed(field, extras) {
  const base = number(field);
  base.node.placeholder = "random";
  const put = (value) => {
    base.set(value);
    field.touched();
  };
  const draw = () => put(crypto.getRandomValues(new Uint32Array(1))[0]);
  const reuse = () => {
    const shown = extras.shown();
    if (shown === null) base.node.focus();
    else put(shown);
  };
  return {
    ...base,
    layout: "stacked",
    node: el(
      "div",
      { class: "seed" },
      base.node,
      iconButton("dice", "Draw a seed", draw),
      el("button", { type: "button", class: "button small", onclick: reuse, title: "The seed of the piece that is shown" }, "Reuse"),
    ),
  };
}
