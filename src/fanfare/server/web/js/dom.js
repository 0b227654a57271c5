// Small tools for the page. Text from outside becomes text nodes only, never HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element: properties by name ("class", "on…" listeners, attributes), then its children. */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && typeof value !== "string" && name !== "list") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** One of the drawings at the end of index.html. */
export function icon(name, kind = "") {
  const made = document.createElementNS(SVG, "svg");
  made.setAttribute("class", `icon ${kind}`);
  made.setAttribute("viewBox", "0 0 24 24");
  made.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  made.append(use);
  return made;
}

/** A button that shows a drawing; `label` is what it is called. */
export function iconButton(name, label, onclick, props = {}) {
  return el("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...props }, icon(name));
}

/** Text whose `names` are set as code. */
export function prose(text) {
  return text.split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part));
}

export const byId = (id) => document.getElementById(id);

/** "1:05", or "1:05.3" with tenths. */
export function clock(seconds, tenths = false) {
  const safe = Number.isFinite(seconds) ? Math.max(0, seconds) : 0;
  const whole = Math.floor(safe);
  const rest = String(whole % 60).padStart(2, "0");
  const fraction = tenths ? `.${Math.floor((safe - whole) * 10)}` : "";
  return `${Math.floor(whole / 60)}:${rest}${fraction}`;
}

/** "8 s", "2 min 5 s", "3 h 4 min". */
export function span(seconds) {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return s % 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${s / 60} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** "just now", "5 min ago", else the date. */
export function ago(iso) {
  const s = (Date.now() - Date.parse(iso)) / 1000;
  if (!(s >= 45)) return "just now";
  if (s < 3600) return `${Math.max(1, Math.round(s / 60))} min ago`;
  if (s < 86400) return `${Math.round(s / 3600)} h ago`;
  return new Date(iso).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

/** "640 kB", "1.2 GB". */
export function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = n;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** A number as people write it, a minus sign included. */
export function figure(value, digits = 1) {
  return value.toFixed(digits).replace("-", "−");
}

/** Said to screen readers. */
export function say(text) {
  byId("said").textContent = text;
}

/** A short message at the bottom of the page. */
export function toast(text, kind = "") {
  const made = el("div", { class: `toast ${kind}` }, icon(kind === "bad" ? "alert" : "check"), el("span", {}, text));
  byId("toasts").append(made);
  say(text);
  setTimeout(() => made.classList.add("leaving"), kind === "bad" ? 6000 : 2600);
  setTimeout(() => made.remove(), kind === "bad" ? 6400 : 3000);
}

/** Copy to the clipboard; where the browser refuses that (plain http), the text is shown. */
export async function copy(text, done = "Copied") {
  try {
    await navigator.clipboard.writeText(text);
    toast(done);
  } catch {
    ask({ title: "Copy this", value: text, confirm: "Close" });
  }
}

/** A dialog with one line of text: resolves to it, or to null. */
export function ask({ title, text = "", value = "", type = "text", confirm = "OK", placeholder = "" }) {
  return new Promise((resolve) => {
    const input = el("input", { class: "input", type, placeholder, "aria-label": title });
    input.value = value;
    const close = (answer) => {
      resolve(answer);
      dialog.close();
      dialog.remove();
    };
    const form = el(
      "form",
      { method: "dialog", onsubmit: (event) => (event.preventDefault(), close(input.value)) },
      el("h2", {}, title),
      text && el("p", { class: "muted" }, text),
      input,
      el(
        "div",
        { class: "row end" },
        el("button", { type: "button", class: "button quiet", onclick: () => close(null) }, "Cancel"),
        el("button", { type: "submit", class: "button primary" }, confirm),
      ),
    );
    const dialog = el("dialog", { class: "dialog", "aria-label": title, oncancel: () => close(null) }, form);
    document.body.append(dialog);
    dialog.showModal();
    input.select();
  });
}

/** The value of a colour (or other custom property) of the page as it is shown now. */
export function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** What is kept in this browser from visit to visit; nothing is lost where that is forbidden. */
export const kept = {
  get(name) {
    try {
      return localStorage.getItem(`fanfare.${name}`);
    } catch {
      return null;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`fanfare.${name}`, value);
    } catch {
      // A browser that keeps nothing still plays.
    }
  },
};
