// The server's HTTP API.

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;

export const root = meta("fanfare-root");
export const nonce = meta("style-nonce");
const TOKEN = "fanfare.token";

/** An answer that says no: `detail` is for people, `fields` is {input name: what is wrong}. */
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
    this.status = status;
    this.fields = {};
    for (const { field, description } of problem.invalid_fields ?? []) {
      this.fields[field.replace(/^input\.?/, "")] = description;
    }
  }
}

export function token() {
  try {
    return sessionStorage.getItem(TOKEN) ?? "";
  } catch {
    return "";
  }
}

export function keepToken(value) {
  try {
    sessionStorage.setItem(TOKEN, value);
  } catch {
    // Then it is asked for at the next visit.
  }
}

function headers(more = {}) {
  const held = token();
  return held ? { ...more, Authorization: `Bearer ${held}` } : more;
}

/** The page's own address for a URL that the server wrote by its configured name. */
export function local(url) {
  const { pathname, search } = new URL(url, location.href);
  return pathname + search;
}

async function send(method, path, { json, form, signal, more } = {}) {
  const url = path.startsWith("/") ? path : root + path;
  let response;
  try {
    response = await fetch(url, {
      method,
      headers: headers(json === undefined ? more : { "Content-Type": "application/json", ...more }),
      body: json === undefined ? form : JSON.stringify(json),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { detail: "The server can’t be reached. Is it still running?" });
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  const problem = await response.json().catch(() => ({}));
  throw new Refusal(response.status, problem);
}

export const get = (path, signal) => send("GET", path, { signal });
export const post = (path, json) => send("POST", path, { json });
export const put = (path, json) => send("PUT", path, { json });
export const remove = (path) => send("DELETE", path);

/** Send a recording; returns the URL that is good as an input. */
export async function upload(blob, name) {
  const form = new FormData();
  form.append("content", blob, name);
  const file = await send("POST", "v1/files", { form });
  return file.urls.get;
}

/** A running answer's body, for music that grows. */
export async function open(path, signal) {
  const response = await fetch(path, { signal, headers: headers() });
  if (!response.ok) {
    throw new Refusal(response.status, await response.json().catch(() => ({})));
  }
  return response;
}

export const create = (model, input) => post(`v1/models/${model.owner}/${model.name}/predictions`, { input });
export const cancel = (id) => post(`v1/predictions/${id}/cancel`);
export const entry = (id, signal) => get(`v1/history/${id}`, signal);
