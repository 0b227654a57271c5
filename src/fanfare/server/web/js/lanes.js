// What the music is, drawn: spectrogram, chroma, loudness, and the waveform while it grows.

import { token } from "./dom.js";

export const NOTES = ["C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B"];
const LUFS = { low: -48, high: -4, target: -14 };
const BAR = { width: 2, gap: 1 };

/** A canvas's context, its pixels fitted to how large it is shown; null while it is not shown. */
function fitted(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return null;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const g = canvas.getContext("2d");
  g.scale(ratio, ratio);
  return { g, width, height };
}

function rgb(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
  return [r, g, b];
}

/** 256 colours from silence to loud, by the page's own stops. */
function ramp() {
  const stops = [0, 1, 2, 3, 4].map((i) => rgb(token(`--heat-${i}`)));
  const table = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i += 1) {
    const at = (i / 255) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(at));
    for (let c = 0; c < 3; c += 1) table[3 * i + c] = stops[low][c] + (at - low) * (stops[low + 1][c] - stops[low][c]);
  }
  return table;
}

/** A picture of `rows` × `columns` values (0–255, first row at the bottom), stretched over `canvas`. */
function heat(canvas, rows, columns, at, isSmooth) {
  const fit = fitted(canvas);
  if (!fit || !columns) return;
  const table = ramp();
  const picture = new ImageData(columns, rows);
  for (let r = 0; r < rows; r += 1) {
    for (let c = 0; c < columns; c += 1) {
      const to = 4 * ((rows - 1 - r) * columns + c);
      const from = 3 * at(r, c);
      picture.data[to] = table[from];
      picture.data[to + 1] = table[from + 1];
      picture.data[to + 2] = table[from + 2];
      picture.data[to + 3] = 255;
    }
  }
  const small = new OffscreenCanvas(columns, rows);
  small.getContext("2d").putImageData(picture, 0, 0);
  fit.g.imageSmoothingEnabled = isSmooth;
  fit.g.imageSmoothingQuality = "high";
  fit.g.drawImage(small, 0, 0, fit.width, fit.height);
}

export function spectrogram(canvas, { n_bands: rows, n_columns: columns, values }) {
  const bytes = Uint8Array.from(atob(values), (letter) => letter.charCodeAt(0));
  heat(canvas, rows, columns, (r, c) => bytes[r * columns + c], true);
}

export function chroma(canvas, { values }) {
  const columns = values[0].length;
  heat(canvas, 12, columns, (r, c) => Math.round(220 * Math.min(1, Math.max(0, values[r][c])) ** 1.3), false);
}

/** Momentary loudness as an area, with the level that music is brought to. */
export function loudness(canvas, { step_s: step, first_s: first, lufs }, duration) {
  const fit = fitted(canvas);
  if (!fit) return;
  const { g, width, height } = fit;
  const y = (value) => height * (1 - (Math.min(LUFS.high, Math.max(LUFS.low, value)) - LUFS.low) / (LUFS.high - LUFS.low));
  const x = (i) => (width * (first + i * step)) / duration;
  const target = y(LUFS.target);
  g.strokeStyle = token("--line-strong");
  g.setLineDash([3, 4]);
  g.beginPath();
  g.moveTo(0, target);
  g.lineTo(width, target);
  g.stroke();
  g.setLineDash([]);
  if (!lufs.length) return;
  g.beginPath();
  g.moveTo(0, y(lufs[0]));
  lufs.forEach((value, i) => g.lineTo(x(i), y(value)));
  g.lineTo(width, y(lufs.at(-1)));
  g.strokeStyle = token("--accent");
  g.lineWidth = 1.75;
  g.lineJoin = "round";
  g.stroke();
  g.lineTo(width, height);
  g.lineTo(0, height);
  const fade = g.createLinearGradient(0, 0, 0, height);
  fade.addColorStop(0, `${token("--accent")}40`);
  fade.addColorStop(1, `${token("--accent")}08`);
  g.fillStyle = fade;
  g.fill();
}

/** Bars as wavesurfer draws them, of what has come; what is still to come is a line of dots. */
export function growing(canvas, { peaks, seconds, total, time }) {
  const fit = fitted(canvas);
  if (!fit) return;
  const { g, width, height } = fit;
  const n = Math.floor(width / (BAR.width + BAR.gap));
  const [played, come, ahead] = [token("--accent"), token("--wave"), token("--line-strong")];
  const most = Math.max(0.3, ...peaks);
  for (let i = 0; i < n; i += 1) {
    const [from, to] = [(i / n) * total, ((i + 1) / n) * total];
    let tall = 2;
    let colour = ahead;
    if (from < seconds) {
      const part = peaks.slice(Math.floor((from / seconds) * peaks.length), Math.max(1, Math.ceil((Math.min(to, seconds) / seconds) * peaks.length)));
      tall = Math.max(2, (Math.max(0, ...part) / most) * height * 0.98);
      colour = from < time ? played : come;
    }
    g.fillStyle = colour;
    g.beginPath();
    g.roundRect(i * (BAR.width + BAR.gap), (height - tall) / 2, BAR.width, tall, BAR.width / 2);
    g.fill();
  }
}

/** Round seconds for a time axis of `duration` with room for about `n` marks. */
export function marks(duration, n) {
  const steps = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600];
  const step = steps.find((s) => duration / s <= n) ?? 600;
  const made = [];
  for (let t = 0; t < duration - step * 0.35; t += step) made.push(t);
  return made;
}
