// The page: puts its parts together.

import * as api from "./api.js";
import { Compare } from "./compare.js";
import { ask, byId, el, icon, kept, toast } from "./dom.js";
import { Form } from "./form.js";
import { History } from "./history.js";
import { allowSound } from "./live.js";
import { Result } from "./result.js";
import { inputsOf } from "./schema.js";
import { Models, showApi, showSchema, Status } from "./tabs.js";

const TABS = ["playground", "api", "schema", "models", "status"];

class App {
  async start() {
    this.#theme();
    const below = location.pathname.slice(api.root.length);
    const shared = /^share\/([^/]+)$/.exec(below)?.[1];
    if (shared) return this.#shared(shared);
    this.about = await this.#introduced();
    this.watching = { models: new Models(byId("tab-models")), status: new Status(byId("tab-status")) };
    this.#parts();
    addEventListener("hashchange", () => this.#tab());
    const asked = /^p\/([^/]+)$/.exec(below)?.[1];
    await Promise.all([this.#choose(this.#firstModel()), this.history.load()]);
    this.#tab();
    if (asked) await this.#open(asked);
    else if (!matchMedia("(pointer: coarse)").matches) this.form.focus();
    document.documentElement.dataset.ready = "true";
    return null;
  }

  /** What the server is; where it wants a token, that is asked for first. */
  async #introduced() {
    for (;;) {
      const about = await api.get("v1/playground");
      if (about.models) return about;
      const given = await ask({ title: "This server wants a token", text: "It is kept until this tab is closed.", type: "password", confirm: "Go on" });
      if (given) api.keepToken(given.trim());
      else byId("said").textContent = "A token is needed.";
    }
  }

  #parts() {
    const { limits } = this.about;
    this.form = new Form(byId("form"), {
      limits,
      on: { run: (values) => this.run(values), change: () => this.#changed() },
      shownSeed: () => this.result?.entry?.seed ?? null,
    });
    this.result = new Result(byId("result"), {
      changed: (entry) => this.history.tell(entry),
      again: (entry) => this.#again(entry),
      carryOn: (entry) => this.#use(entry, true),
      use: (entry) => this.#use(entry, false),
      settings: (entry) => this.#settings(entry),
      compare: (entry) => this.history.pick(entry.id, (other) => this.#compare(entry, other)),
      expected: (input) => this.#expected(input),
    });
    this.history = new History(byId("history"), {
      pick: (entry, plays) => this.#pick(entry, plays),
      changed: (entry) => this.result.told(entry),
      gone: (id) => this.result.entry?.id === id && this.result.empty(),
    });
    const picker = byId("model");
    picker.replaceChildren(...this.about.models.map((model, i) => el("option", { value: String(i) }, `${model.owner}/${model.name}`)));
    picker.addEventListener("change", () => this.#choose(this.about.models[picker.value]));
  }

  #firstModel() {
    const { models } = this.about;
    return models.find(({ owner, name }) => `${owner}/${name}` === kept.get("model")) ?? models[0];
  }

  async #choose(model) {
    this.model = model;
    byId("model").value = String(this.about.models.indexOf(model));
    kept.set("model", `${model.owner}/${model.name}`);
    const { latest_version: version } = await api.get(`v1/models/${model.owner}/${model.name}`);
    this.version = version.openapi_schema ? version : await api.get(`v1/models/${model.owner}/${model.name}/versions/${model.version}`);
    this.inputs = inputsOf(this.version);
    this.form.show(this.inputs, this.about.ideas);
    this.#changed();
  }

  /** Seconds that the piece will have: what the model says of `duration`, where it has one. */
  #expected(input) {
    const known = this.inputs?.find(({ name }) => name === "duration");
    return Number(input.duration ?? known?.default ?? 0);
  }

  #changed() {
    if (this.shown === "api") this.#tab();
  }

  async run(values) {
    allowSound();
    this.form.busy(true);
    try {
      const made = await api.create(this.model, values);
      const entry = await api.entry(made.id);
      this.history.tell(entry);
      this.#show(entry, { plays: true });
    } catch (error) {
      this.form.complain(error.message, error.fields ?? {});
    } finally {
      this.form.busy(false);
    }
  }

  #show(entry, how) {
    this.compare?.close();
    this.result.show(entry, how);
    this.history.mark(entry.id);
    if (innerWidth < 900) byId("result").scrollIntoView({ block: "start", behavior: "smooth" });
  }

  async #pick(entry, plays) {
    if (plays) allowSound();
    if (plays && this.result.entry?.id === entry.id && this.result.player) this.result.player.toggle();
    else await this.#open(entry.id, plays);
  }

  async #open(id, plays = false) {
    try {
      this.#show(await api.entry(id), { plays });
    } catch (error) {
      toast(error.status === 404 ? "This piece isn’t here any more." : error.message, "bad");
    }
  }

  #again(entry) {
    const { seed: _, ...input } = entry.input;
    this.run(input);
  }

  /** The recording of an entry's input, as the form shows one. */
  #recordingOf(entry) {
    const url = entry.input.input_audio;
    if (!url) return null;
    return { url, name: entry.recording?.name ?? url, play: entry.recording?.url ?? null };
  }

  #settings(entry) {
    this.form.replace({ ...entry.input, seed: entry.seed ?? undefined }, this.#recordingOf(entry));
    this.form.focus();
  }

  /** A piece as the recording of the next: carried on, or as its melody. */
  #use(entry, isCarriedOn) {
    const recording = { url: new URL(entry.output, location.href).href, name: entry.input.prompt || "The piece on show", play: entry.audio_url };
    const { seed: _, continuation_start: _a, continuation_end: _b, ...input } = entry.input;
    this.form.replace({ ...input, continuation: isCarriedOn }, recording);
    byId("form").scrollIntoView({ block: "start", behavior: "smooth" });
    this.form.focus();
  }

  #compare(a, b) {
    this.compare?.close();
    this.result.player?.pause();
    this.compare = new Compare(this.result.compared, [a, b], () => (this.compare = null));
  }

  #tab() {
    const asked = location.hash.slice(1);
    this.shown = TABS.includes(asked) ? asked : "playground";
    for (const name of TABS) {
      byId(`tab-${name}`).hidden = name !== this.shown;
      const link = document.querySelector(`[data-tab="${name}"]`);
      if (name === this.shown) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    for (const [name, view] of Object.entries(this.watching)) {
      if (name === this.shown) view.start();
      else view.stop();
    }
    const base = (location.origin + api.root).replace(/\/$/, "");
    const about = { base, model: this.model, input: this.form.values(), needsToken: this.about.needs_token };
    if (this.shown === "api") showApi(byId("tab-api"), about);
    if (this.shown === "schema") showSchema(byId("tab-schema"), this.model, this.version);
    if (this.shown === "playground") this.result.stage?.repaint();
    document.title = this.shown === "playground" ? "Fanfare" : `${document.querySelector(`[data-tab="${this.shown}"]`).textContent} · Fanfare`;
  }

  /** One piece, for whoever has the link. */
  async #shared(capability) {
    document.documentElement.dataset.view = "shared";
    this.result = new Result(byId("result"), { changed: () => {} });
    try {
      const load = () => api.get(`v1/shared/${capability}`);
      this.result.show(await load(), { isShared: true, load });
    } catch (error) {
      byId("result").replaceChildren(el("div", { class: "card empty-state" }, el("h1", {}, "Nothing is here"), el("p", { class: "muted" }, error.status === 404 ? "What was shared has been removed." : error.message)));
    }
    document.documentElement.dataset.ready = "true";
  }

  #theme() {
    const system = matchMedia("(prefers-color-scheme: dark)");
    const button = byId("theme");
    const apply = () => {
      const chosen = kept.get("theme");
      const isDark = chosen ? chosen === "dark" : system.matches;
      document.documentElement.dataset.theme = isDark ? "dark" : "light";
      button.replaceChildren(icon(isDark ? "sun" : "moon"));
      this.result?.recolour();
      this.form?.recording?.repaint();
    };
    button.addEventListener("click", () => {
      kept.set("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
      apply();
    });
    system.addEventListener("change", apply);
    apply();
  }
}

new App().start().catch((error) => toast(error.message, "bad"));
