// Music heard while it is made: a wav that grows is fetched, taken apart and put in line for the
// sound card piece by piece. Nothing of it waits for the end.

import { open } from "./api.js";

const USUAL_RATE_HZ = 32000;
const LEAD_S = 0.08; // from a piece's coming to its being heard
const MAX_LEAD_S = 4;
const MIN_PIECE_S = 0.1;
export const PEAK_STEP_S = 0.02;

let context = null;

function contextAt(rateHz) {
  if (context?.sampleRate !== rateHz) {
    context?.close();
    context = new AudioContext({ sampleRate: rateHz, latencyHint: "interactive" });
  }
  return context;
}

/** To be called in a click: browsers let sound out only then. */
export function allowSound() {
  if (window.AudioContext) contextAt(context?.sampleRate ?? USUAL_RATE_HZ).resume();
}

/** Whether a growing file of this kind can be taken apart here. */
export const canFollow = (format) => Boolean(window.AudioContext) && format !== "mp3";

/** {rate, channels, data: offset} of a wav's beginning; null when more of it is needed. */
export function readHeader(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (at) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (bytes.length < 12) return null;
  if (word(0) !== "RIFF" || word(8) !== "WAVE") throw new Error("This is no wav file.");
  let format = null;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const size = view.getUint32(at + 4, true);
    if (word(at) === "data") return { ...format, data: at + 8 };
    if (at + 8 + size > bytes.length) return null;
    if (word(at) === "fmt ") {
      format = { channels: view.getUint16(at + 10, true), rate: view.getUint32(at + 12, true) };
      if (view.getUint16(at + 22, true) !== 16) throw new Error("Only 16 bits are played while they come.");
    }
    at += 8 + size + (size % 2);
  }
  return null;
}

/** Events: "grown" (more has come), "state" (plays or not), "ended" (played to its end), "broken". */
export class Live extends EventTarget {
  constructor(url) {
    super();
    this.url = url;
    this.peaks = [];
    this.seconds = 0;
    this.isWhole = false;
    this.isPlaying = false;
    this.isDone = false;
    this.lead = LEAD_S;
    this.pieces = []; // {start, buffer}
    this.sources = new Set();
    this.aborting = new AbortController();
  }

  #tell(name) {
    if (!this.aborting.signal.aborted) this.dispatchEvent(new Event(name));
  }

  /** Fetch and play until it is whole. */
  async run() {
    this.isPlaying = true;
    try {
      const response = await open(this.url, this.aborting.signal);
      const reader = response.body.getReader();
      let held = new Uint8Array(0);
      for (;;) {
        const { value, done } = await reader.read();
        if (value) held = joined(held, value);
        held = this.#take(held, done);
        if (done) break;
      }
      this.isWhole = true;
      this.#watchEnd();
      this.#tell("grown");
    } catch {
      this.isWhole = true;
      if (!this.pieces.length) this.isPlaying = false;
      this.#watchEnd();
      this.#tell("broken");
    }
  }

  /** Play what is whole of `bytes`; returns the rest. */
  #take(bytes, isLast) {
    if (!this.format) {
      this.format = readHeader(bytes);
      if (!this.format) return bytes;
      this.context = contextAt(this.format.rate);
      if (this.isPlaying) this.context.resume();
      bytes = bytes.subarray(this.format.data);
    }
    const { rate, channels } = this.format;
    const n = Math.floor(bytes.length / (2 * channels));
    if (n === 0 || (!isLast && n < rate * MIN_PIECE_S)) return bytes;
    const samples = new Int16Array(bytes.slice(0, n * 2 * channels).buffer);
    const buffer = this.context.createBuffer(channels, n, rate);
    for (let c = 0; c < channels; c += 1) {
      const plane = buffer.getChannelData(c);
      for (let i = 0; i < n; i += 1) plane[i] = samples[i * channels + c] / 32768;
    }
    const piece = { start: this.seconds, buffer };
    this.pieces.push(piece);
    this.seconds += n / rate;
    this.#measure(buffer);
    this.#place(piece);
    this.#tell("grown");
    return bytes.subarray(n * 2 * channels);
  }

  #measure(buffer) {
    const step = Math.round(PEAK_STEP_S * buffer.sampleRate);
    const plane = buffer.getChannelData(0);
    for (let from = 0; from < plane.length; from += step) {
      let most = 0;
      for (let i = from; i < Math.min(from + step, plane.length); i += 1) most = Math.max(most, Math.abs(plane[i]));
      this.peaks.push(most);
    }
  }

  /** Put a piece in line after those before it. */
  #place(piece) {
    const now = this.context.currentTime;
    const isLate = this.offset !== undefined && this.offset + piece.start < now;
    if (this.offset === undefined || isLate) {
      // Starved: the music is made more slowly than it is played. Wait longer each time.
      if (isLate) this.lead = Math.min(MAX_LEAD_S, this.lead * 3);
      this.offset = now + this.lead - piece.start;
    }
    this.#sound(piece, 0);
  }

  #sound({ start, buffer }, from) {
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    source.start(this.offset + start + from, from);
    source.addEventListener("ended", () => this.sources.delete(source));
    this.sources.add(source);
  }

  /** Seconds of the music that have been heard. */
  get time() {
    if (this.offset === undefined) return 0;
    return Math.min(this.seconds, Math.max(0, this.context.currentTime - this.offset));
  }

  seek(seconds) {
    if (!this.context) return;
    const at = Math.min(Math.max(0, seconds), Math.max(0, this.seconds - 0.05));
    for (const source of this.sources) source.stop();
    this.sources.clear();
    this.offset = this.context.currentTime + 0.03 - at;
    for (const piece of this.pieces) {
      const from = at - piece.start;
      if (from < piece.buffer.duration) this.#sound(piece, Math.max(0, from));
    }
    this.#watchEnd();
  }

  play() {
    this.isPlaying = true;
    if (this.isWhole && this.time >= this.seconds - 0.05) this.seek(0);
    this.context?.resume();
    this.#watchEnd();
    this.#tell("state");
  }

  pause() {
    this.isPlaying = false;
    this.context?.suspend();
    this.#tell("state");
  }

  #watchEnd() {
    clearTimeout(this.ending);
    if (!this.isWhole || !this.isPlaying) return;
    const left = this.seconds - this.time;
    if (left > 0.01) {
      this.ending = setTimeout(() => this.#watchEnd(), Math.max(20, left * 1000));
      return;
    }
    this.isPlaying = false;
    this.#tell("ended");
    this.#tell("state");
  }

  /** Silence it and let go of everything. */
  close() {
    this.aborting.abort();
    clearTimeout(this.ending);
    for (const source of this.sources) source.stop();
    this.sources.clear();
    this.isPlaying = false;
    this.pieces = [];
  }
}

function joined(a, b) {
  const made = new Uint8Array(a.length + b.length);
  made.set(a);
  made.set(b, a.length);
  return made;
}
