// One transport for a piece: the growing sound while it is made, the file once it is there.

import { Live } from "./live.js";

/** Events: "state" (plays or not), "time", "grown" (more of it has come). */
export class Player extends EventTarget {
  constructor() {
    super();
    this.media = new Audio();
    this.media.preload = "metadata";
    this.live = null;
    this.hasFile = false;
    for (const kind of ["play", "pause", "ended", "seeked"]) this.media.addEventListener(kind, () => this.#changed());
  }

  #changed() {
    this.dispatchEvent(new Event("state"));
    if (this.isPlaying && !this.ticking) this.#tick();
    else this.dispatchEvent(new Event("time"));
  }

  #tick() {
    this.ticking = requestAnimationFrame(() => {
      this.ticking = null;
      this.dispatchEvent(new Event("time"));
      if (this.isPlaying) this.#tick();
    });
  }

  get isPlaying() {
    return this.live ? this.live.isPlaying : !this.media.paused;
  }

  get time() {
    return this.live ? this.live.time : this.media.currentTime;
  }

  /** Follow a piece that is being made, from its beginning. */
  follow(url) {
    this.live = new Live(url);
    this.live.addEventListener("grown", () => this.dispatchEvent(new Event("grown")));
    for (const kind of ["state", "ended", "broken"]) this.live.addEventListener(kind, () => this.#changed());
    this.live.addEventListener("ended", () => this.#handOver(false));
    this.live.run();
    this.#changed();
  }

  /** The same where it can't be taken apart (mp3): the browser plays what comes. */
  playGrowing(url) {
    this.media.src = url;
    this.media.play().catch(() => {});
  }

  /** The whole file is there. What plays already goes on playing. */
  take(url) {
    this.hasFile = true;
    const at = this.media.src ? this.media.currentTime : 0;
    const plays = !this.media.paused && !this.live;
    this.media.src = url;
    if (at) this.media.currentTime = at;
    if (plays) this.media.play().catch(() => {});
    if (this.live && !this.live.isPlaying) this.#handOver(false);
  }

  /** From the growing sound to the file, at the same place. */
  #handOver(plays) {
    const { live } = this;
    if (!live || !this.hasFile) return;
    const isOver = live.isWhole && live.time >= live.seconds - 0.05;
    this.media.currentTime = isOver ? 0 : live.time;
    live.close();
    this.live = null;
    if (plays) this.media.play().catch(() => {});
    this.#changed();
  }

  toggle() {
    if (this.live?.isPlaying) {
      this.live.pause();
      this.#handOver(false);
    } else if (this.live) {
      this.#handOver(true);
      this.live?.play();
    } else if (this.media.src) {
      if (this.media.paused) this.media.play().catch(() => {});
      else this.media.pause();
    }
  }

  pause() {
    if (this.isPlaying) this.toggle();
  }

  seek(seconds) {
    if (this.live && this.hasFile) {
      this.#handOver(this.live.isPlaying);
      this.media.currentTime = seconds;
    } else if (this.live) {
      this.live.seek(seconds);
    } else if (this.media.src) {
      this.media.currentTime = seconds;
    }
    this.#changed();
  }

  close() {
    this.live?.close();
    this.live = null;
    this.media.pause();
    this.media.removeAttribute("src");
    this.media.load();
    cancelAnimationFrame(this.ticking);
  }
}
