// The other views: API, Schema, Models, Status.

import * as api from "./api.js";
import { bytes, copy, el, figure, icon, kept, prose, span, toast } from "./dom.js";
import { inputsOf, kindOf, outputOf } from "./schema.js";
import { snippets } from "./snippets.js";

const POLL_MS = 2000;

function page(id, title, text, ...content) {
  return [el("header", { class: "page-head" }, el("h1", { id: `${id}-title` }, title), el("p", { class: "muted" }, text)), ...content];
}

/** The request that the form stands for, in five languages. */
export function showApi(node, about) {
  const all = snippets(about);
  const body = el("pre", { class: "code", tabindex: "0", "aria-label": "The request" });
  const choose = (name) => {
    kept.set("language", name);
    body.textContent = all.find(([known]) => known === name)[1];
  };
  const first = all.find(([name]) => name === kept.get("language"))?.[0] ?? "curl";
  const choices = all.map(([name]) => el("label", { class: "segment" }, el("input", { type: "radio", name: "language", class: "hidden", value: name, checked: name === first, onchange: () => choose(name) }), name));
  choose(first);
  node.replaceChildren(
    ...page("api", "API", "The request that the form stands for at the moment. It is Replicate’s API: their clients work as they are."),
    el(
      "div",
      { class: "card code-card" },
      el("div", { class: "row wrap" }, el("div", { class: "segments", role: "radiogroup", "aria-label": "Language" }, ...choices), el("span", { class: "grow" }), el("button", { type: "button", class: "button small", onclick: () => copy(body.textContent) }, icon("copy"), "Copy")),
      body,
    ),
    el("p", { class: "muted" }, "All operations: ", el("a", { href: `${api.root}openapi.json` }, "openapi.json"), "."),
  );
}

function table(heads, rows) {
  const head = el("thead", {}, el("tr", {}, ...heads.map((name) => el("th", { scope: "col" }, name))));
  return el("div", { class: "card table-card", tabindex: "0", role: "region", "aria-label": "Table" }, el("table", {}, head, el("tbody", {}, ...rows)));
}

/** What the version takes and gives. */
export function showSchema(node, model, version) {
  const rows = inputsOf(version).map((input) => {
    const isRequired = input.isRequired ? el("span", { class: "badge" }, "required") : "";
    const value = input.default === undefined ? el("span", { class: "muted" }, "none") : el("code", {}, String(input.default));
    return el("tr", {}, el("th", { scope: "row" }, el("code", {}, input.name), " ", isRequired), el("td", {}, kindOf(input)), el("td", {}, value), el("td", { class: "wide" }, ...prose(input.description)));
  });
  const output = outputOf(version);
  const kind = output.format === "uri" ? "URL of the music" : output.type ?? "any";
  node.replaceChildren(
    ...page("schema", "Schema", `What ${model.owner}/${model.name} takes and gives.`),
    el("h2", {}, "Inputs"),
    table(["Name", "Type and limits", "Default", "What it does"], rows),
    el("h2", {}, "Output"),
    table(["Name", "Type"], [el("tr", {}, el("th", { scope: "row" }, el("code", {}, "output")), el("td", {}, kind))]),
    el("p", { class: "muted mono" }, `version ${version.id}`),
  );
}

/** A view that asks the server again and again while it is on show. */
class Watching {
  constructor(node) {
    this.node = node;
  }

  start() {
    this.stop();
    const again = async () => {
      await this.load().catch((error) => this.failed(error));
      this.timer = setTimeout(again, POLL_MS);
    };
    this.timer = setTimeout(again, 0);
  }

  stop() {
    clearTimeout(this.timer);
  }

  failed(error) {
    this.body?.replaceChildren(el("p", { class: "problem" }, icon("alert"), error.message));
    this.last = null;
  }

  /** Draw anew only when something has changed: what has the focus keeps it. */
  isNew(found) {
    const text = JSON.stringify(found);
    const is = text !== this.last;
    this.last = text;
    return is;
  }
}

/** What is loaded; load and unload. */
export class Models extends Watching {
  constructor(node) {
    super(node);
    this.body = el("div", { class: "models" });
    node.replaceChildren(...page("models", "Models", "What lies in memory, and under which licence. A model that isn’t loaded is loaded when music is asked of it."), this.body);
  }

  async load() {
    const found = await api.get("v1/loaded");
    if (!this.isNew(found)) return;
    const had = document.activeElement?.dataset?.model;
    this.body.replaceChildren(...found.models.map((model) => this.#card(model)));
    if (found.memory_budget_bytes) this.body.append(el("p", { class: "muted" }, `Memory for models: ${bytes(found.memory_budget_bytes)}.`));
    if (had) this.body.querySelector(`[data-model="${CSS.escape(had)}"]`)?.focus();
  }

  #card(model) {
    const isIn = model.state === "loaded" || model.state === "loading";
    const name = `${model.owner}/${model.name}`;
    const act = async () => {
      try {
        await (isIn ? api.remove(`v1/loaded/${name}`) : api.post(`v1/loaded/${name}`));
        await this.load();
      } catch (error) {
        toast(error.message, "bad");
      }
    };
    const facts = [
      ["Weights", model.weights],
      ["Licence", model.licence ?? "unknown"],
      ["Memory", model.memory_bytes ? bytes(model.memory_bytes) : "—"],
      ["Precision", model.precision ?? "—"],
      ["Engine", model.engine ?? "—"],
      ["Playing", String(model.n_playing)],
    ];
    return el(
      "article",
      { class: "card model" },
      el("div", { class: "row" }, el("h2", { class: "grow" }, name), model.is_default ? el("span", { class: "badge" }, "default") : "", el("span", { class: "status-badge", "data-status": model.state }, model.state)),
      el("dl", { class: "figures" }, ...facts.map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, value)))),
      model.error ? el("p", { class: "problem" }, icon("alert"), model.error) : "",
      el("div", { class: "row" }, el("button", { type: "button", class: "button small", onclick: act, "data-model": name, disabled: model.state === "loading", "aria-label": `${isIn ? "Unload" : "Load"} ${name}` }, isIn ? "Unload" : "Load")),
    );
  }
}

/** How the server is. */
export class Status extends Watching {
  constructor(node) {
    super(node);
    this.body = el("div", { class: "status-body" });
    node.replaceChildren(...page("status", "Status", "How the server is at the moment."), this.body);
  }

  async load() {
    const found = await api.get("v1/status");
    if (!this.isNew(found)) return;
    const { queue, worker, versions } = found;
    const group = (title, facts) => el("section", { class: "card status-group" }, el("h2", {}, title), el("dl", { class: "figures" }, ...facts.filter(Boolean).map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, value)))));
    this.body.replaceChildren(
      group("Worker", [
        ["State", el("span", { class: "status-badge", "data-status": worker.state }, worker.state)],
        ["Playing", String(worker.playing)],
        ["Speed lately", found.real_time_factor ? `${figure(found.real_time_factor)}× real time` : "—"],
        ["Memory", worker.memory_bytes ? bytes(worker.memory_bytes) : "—"],
        ["Restarts", String(worker.restarts)],
      ]),
      group("Predictions", [["Waiting", String(queue.starting)], ["Being made", String(queue.processing)], ["Done", String(queue.succeeded)], ["Failed", String(queue.failed)], ["Stopped", String(queue.canceled)]]),
      group("Server", [["Up for", span(found.uptime_s)], ["Storage", bytes(found.storage_bytes)], ...Object.entries(versions).map(([name, value]) => [name === "fanfare" ? "Fanfare" : name === "python" ? "Python" : "Platform", value])]),
    );
  }
}
