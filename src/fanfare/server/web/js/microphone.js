// The microphone, recorded by the browser.

export class Microphone {
  /** Whether the browser offers one at all (it does on https and localhost only). */
  static get isThere() {
    return Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);
  }

  /** Ask for the microphone and begin; throws when that isn't allowed. */
  static async start() {
    // Music, not a call: nothing is to be filtered out of it.
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    return new Microphone(await navigator.mediaDevices.getUserMedia({ audio }));
  }

  constructor(stream) {
    this.stream = stream;
    this.began = performance.now();
    this.parts = [];
    this.recorder = new MediaRecorder(stream);
    this.recorder.addEventListener("dataavailable", (event) => this.parts.push(event.data));
    this.recorder.start();
  }

  get seconds() {
    return (performance.now() - this.began) / 1000;
  }

  /** End it; resolves to what was recorded. */
  stop() {
    return new Promise((resolve) => {
      this.recorder.addEventListener("stop", () => {
        for (const track of this.stream.getTracks()) track.stop();
        resolve(new Blob(this.parts, { type: this.recorder.mimeType }));
      });
      this.recorder.stop();
    });
  }
}
