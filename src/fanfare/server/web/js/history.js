// What was made before: kept by the server, newest first.

import * as api from "./api.js";
import { ago, clock, el, icon, iconButton, toast } from "./dom.js";

const PAGE = 20;
const POLL_MS = 2500;
const TYPING_MS = 220;
const OPEN = new Set(["starting", "processing"]);

export class History {
  /** `on`: pick(entry, plays), changed(entry), gone(id). */
  constructor(node, on) {
    this.node = node;
    this.on = on;
    this.rows = new Map(); // id → {entry, node}
    this.next = null;
    this.shown = null;
    this.picking = null;
    this.search = el("input", { class: "input", type: "search", placeholder: "Search prompts", "aria-label": "Search the history by prompt", oninput: () => this.#typed() });
    this.onlyStarred = iconButton("star", "Starred only", () => this.#toggleStarred(), { class: "icon-button star", "aria-pressed": "false" });
    this.list = el("ul", { class: "entries" });
    this.none = el("p", { class: "muted none", hidden: true });
    this.more = el("button", { type: "button", class: "button small", hidden: true, onclick: () => this.load(true) }, "Show older");
    this.banner = el("div", { class: "banner", hidden: true });
    node.replaceChildren(
      el("div", { class: "history-head" }, el("h2", {}, "History"), this.onlyStarred),
      el("div", { class: "search" }, icon("search"), this.search),
      this.banner,
      this.list,
      this.none,
      this.more,
    );
    setInterval(() => this.#refresh(), POLL_MS);
  }

  #typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.load(), TYPING_MS);
  }

  #toggleStarred() {
    const is = this.onlyStarred.getAttribute("aria-pressed") !== "true";
    this.onlyStarred.setAttribute("aria-pressed", String(is));
    this.load();
  }

  #query(limit, before) {
    const asked = new URLSearchParams({ limit: String(limit) });
    if (this.search.value.trim()) asked.set("query", this.search.value.trim());
    if (this.onlyStarred.getAttribute("aria-pressed") === "true") asked.set("starred", "true");
    if (before) asked.set("before", before);
    return `v1/history?${asked}`;
  }

  /** The first page, or one more. */
  async load(isMore = false) {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    try {
      const { results, next } = await api.get(this.#query(PAGE, isMore ? this.next : null));
      if (turn !== this.turn) return;
      if (!isMore) {
        this.rows.clear();
        this.list.replaceChildren();
      }
      for (const entry of results) this.#put(entry, false);
      this.next = next;
      this.more.hidden = !next;
      this.#count();
    } catch (error) {
      if (error.status !== 401) toast(error.message, "bad");
    }
  }

  #count() {
    const isFiltered = this.search.value.trim() || this.onlyStarred.getAttribute("aria-pressed") === "true";
    this.none.hidden = this.rows.size > 0;
    this.none.textContent = isFiltered ? "Nothing like that." : "What you make is kept here.";
  }

  /** Pieces that wait or are being made move on. */
  async #refresh() {
    if (document.hidden) return;
    const open = [...this.rows.values()].filter(({ entry }) => OPEN.has(entry.status)).slice(0, 8);
    for (const { entry } of open) {
      try {
        this.#put(await api.entry(entry.id));
      } catch (error) {
        if (error.status === 404) this.drop(entry.id);
      }
    }
  }

  /** A new piece, or what has become of one. */
  tell(entry) {
    this.#put(entry, true);
    this.#count();
  }

  #put(entry, isNew = true) {
    const known = this.rows.get(entry.id);
    const made = this.#row(entry);
    if (known) {
      const had = known.node.contains(document.activeElement) ? document.activeElement.getAttribute("data-act") : null;
      known.node.replaceWith(made);
      if (had) made.querySelector(`[data-act="${had}"]`)?.focus();
    } else if (isNew) this.list.prepend(made);
    else this.list.append(made);
    this.rows.set(entry.id, { entry, node: made });
  }

  #row(entry) {
    const canPlay = entry.status === "succeeded" && entry.audio_url;
    const isOpen = OPEN.has(entry.status);
    const play = iconButton("play", "Play", () => this.on.pick(entry, true), { class: "icon-button row-play", "data-act": "play" });
    if (!canPlay) play.replaceChildren(isOpen ? el("span", { class: "spinner" }) : icon(entry.status === "failed" ? "alert" : "stop"));
    play.disabled = !canPlay;
    if (!canPlay) play.setAttribute("aria-label", entry.status);
    const choose = this.picking && canPlay && entry.id !== this.picking.not;
    const name = el("button", { type: "button", class: "entry-name", "data-act": "name", onclick: () => (choose ? this.#picked(entry) : this.on.pick(entry, false)) }, el("span", { class: "entry-prompt" }, entry.input.prompt || (entry.data_removed ? "Removed" : "Without a prompt")), el("span", { class: "entry-about" }, about(entry)));
    const star = iconButton("star", entry.starred ? "Unstar" : "Star", () => this.#star(entry), { class: "icon-button small star", "aria-pressed": String(entry.starred), "data-act": "star" });
    const remove = iconButton("trash", "Delete", () => this.#delete(entry), { class: "icon-button small delete", "data-act": "delete" });
    const made = el("li", { class: `entry ${entry.status}${choose ? " choose" : ""}`, "data-id": entry.id, "aria-current": this.shown === entry.id ? "true" : null }, play, name, el("span", { class: "entry-tools" }, star, remove));
    return made;
  }

  /** Mark what is on show. */
  mark(id) {
    this.shown = id;
    for (const [known, { node }] of this.rows) {
      if (known === id) node.setAttribute("aria-current", "true");
      else node.removeAttribute("aria-current");
    }
  }

  async #star(entry) {
    try {
      const now = await api.put(`v1/history/${entry.id}`, { starred: !entry.starred });
      this.#put(now);
      this.on.changed(now);
    } catch (error) {
      toast(error.message, "bad");
    }
  }

  async #delete(entry) {
    try {
      await api.remove(`v1/history/${entry.id}`);
      this.drop(entry.id);
      this.on.gone(entry.id);
      toast("Deleted");
    } catch (error) {
      toast(error.message, "bad");
    }
  }

  drop(id) {
    this.rows.get(id)?.node.remove();
    this.rows.delete(id);
    this.#count();
  }

  /** Ask for another piece than `not`; `then(entry)` gets it. */
  pick(not, then) {
    this.picking = { not, then };
    this.banner.replaceChildren(el("span", { class: "grow" }, "Choose the piece to compare with"), iconButton("close", "Don’t compare", () => this.#picked(null), { class: "icon-button small" }));
    this.banner.hidden = false;
    this.#again();
    this.node.scrollIntoView({ block: "nearest", behavior: "smooth" });
    this.list.querySelector(".choose .entry-name")?.focus();
  }

  #picked(entry) {
    const { then } = this.picking;
    this.picking = null;
    this.banner.hidden = true;
    this.#again();
    if (entry) then(entry);
  }

  #again() {
    for (const { entry } of [...this.rows.values()]) this.#put(entry);
  }
}

/** A line about an entry. */
function about(entry) {
  const { status, position, progress } = entry;
  if (status === "starting") return position === null ? "waiting" : position === 0 ? "next in the queue" : `${position} ahead in the queue`;
  if (status === "processing") return progress?.n_steps ? `${Math.floor((100 * progress.step) / progress.n_steps)} %` : "starting";
  const parts = [];
  if (status === "failed") parts.push("failed");
  if (status === "canceled") parts.push("stopped");
  if (entry.duration_s) parts.push(clock(entry.duration_s));
  parts.push(ago(entry.created_at));
  return parts.join(" · ");
}
