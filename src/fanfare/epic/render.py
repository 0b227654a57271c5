"""Score → audio, through FluidSynth and the FluidR3 GM SoundFont (training and evaluation only).

FluidSynth is a C library: Debian's packages `fluidsynth` and `fluid-soundfont-gm` bring it and the
SoundFont (MIT licence); `pip install fanfare-music[epic]` brings the binding.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanfare.epic.palette import DRUM_KIT, STROKES, VOICES
from fanfare.epic.score import FRAME_RATE_HZ, Note, Score
from fanfare.errors import MissingExtraError

SAMPLE_RATE_HZ = 32000
SAMPLES_PER_FRAME = SAMPLE_RATE_HZ // FRAME_RATE_HZ
SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
ALL_SOUNDS_OFF, EXPRESSION = 120, 11
LEVELS_DBFS = (-25.0, -22.0, -19.0, -16.0)
"""RMS of a piece's loudest second, by intensity."""
CHANNELS = tuple(c for c in range(32) if c % 16 != 9)
"""Channel 9 of every sixteen is a drum channel by default; ours are set explicitly."""


class Renderer:
    """A synthesiser with the SoundFont loaded; a context manager.

    Raises:
        MissingExtraError: FluidSynth or the SoundFont isn't installed.
    """

    def __init__(self, soundfont: Path = SOUNDFONT) -> None:
        command = "apt-get install fluidsynth fluid-soundfont-gm; pip install pyfluidsynth"
        try:
            import fluidsynth
        except ImportError as error:
            raise MissingExtraError("FluidSynth", "Rendering scores", command) from error
        if not soundfont.is_file():
            raise MissingExtraError(str(soundfont), "Rendering scores", command)
        self._synth: Any = fluidsynth.Synth(
            gain=0.5, samplerate=float(SAMPLE_RATE_HZ), channels=len(CHANNELS) + 2
        )
        self._synth.setting("synth.polyphony", 256)
        self._synth.set_reverb(0.72, 0.25, 0.8, 0.55)
        self._synth.set_chorus(0, 0.0, 0.3, 8.0, 0)
        self._font = self._synth.sfload(str(soundfont))

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._synth.delete()

    def render(self, score: Score) -> NDArray[np.float32]:
        """Renders a score to mono float32 [N], N = frames × 640, peaks below 1."""
        events = self._events(score)
        blocks: list[NDArray[np.int16]] = []
        now = 0
        for frame, _, kind, channel, pitch, velocity in events:
            if frame > now:
                blocks.append(self._synth.get_samples((frame - now) * SAMPLES_PER_FRAME))
                now = frame
            if kind == "on":
                self._synth.noteon(channel, pitch, velocity)
            else:
                self._synth.noteoff(channel, pitch)
        if score.n_frames > now:
            blocks.append(self._synth.get_samples((score.n_frames - now) * SAMPLES_PER_FRAME))
        self._silence()
        stereo = np.concatenate(blocks).reshape(-1, 2).astype(np.float32) / 32768.0
        return master(stereo.mean(axis=1), score.brief.intensity)

    def _silence(self) -> None:
        """Stops all notes and lets the reverb die, so that the next score starts clean."""
        for channel in CHANNELS:
            self._synth.cc(channel, ALL_SOUNDS_OFF, 0)
        self._synth.set_reverb(0.72, 0.25, 0.8, 0.0)
        self._synth.get_samples(SAMPLE_RATE_HZ * 2)
        self._synth.set_reverb(0.72, 0.25, 0.8, 0.55)

    def _events(self, score: Score) -> list[tuple[int, int, str, int, int, int]]:
        """MIDI events as (frame, order, kind, channel, key, velocity), note-offs first."""
        channels: dict[tuple[str, str], int] = {}
        events: list[tuple[int, int, str, int, int, int]] = []
        for note in score.notes:
            if note.role == "effect":
                continue
            line = (note.role, note.instrument)
            if line not in channels:
                channels[line] = CHANNELS[len(channels)]
                self._assign(channels[line], note)
            channel = channels[line]
            key = note.pitch
            if note.role == "drum" and note.instrument != "timpani":
                key = STROKES[note.instrument][2]
            velocity = midi_velocity(note)
            end = min(note.start + note.length, score.n_frames)
            events.append((note.start, 1, "on", channel, key, velocity))
            events.append((end, 0, "off", channel, key, 0))
        return sorted(events)

    def _assign(self, channel: int, note: Note) -> None:
        if note.role == "drum":
            bank, program, _ = STROKES[note.instrument]
        else:
            bank, program = 0, VOICES[note.instrument].program
        assert bank == 0 or program == DRUM_KIT
        self._synth.program_select(channel, self._font, bank, program)
        # Sustained instruments follow dynamics by expression as well as by velocity.
        self._synth.cc(channel, EXPRESSION, 127)


def midi_velocity(note: Note) -> int:
    """MIDI velocity of a note, with its instrument's gain."""
    gain = VOICES[note.instrument].gain if note.instrument in VOICES else 1.1
    return int(min(max(round(127 * note.velocity * gain), 12), 127))


def master(wav: NDArray[np.float32], intensity: int) -> NDArray[np.float32]:
    """Sets the loudest second to the level of the piece's intensity, then limits peaks.

    Quiet pieces stay quieter than loud ones, but by 9 dB, not by the 25 dB of the samples: a codec
    hears noise where there is next to no signal.
    """
    seconds = wav[: len(wav) // SAMPLE_RATE_HZ * SAMPLE_RATE_HZ].reshape(-1, SAMPLE_RATE_HZ)
    loudest = float(np.sqrt((seconds**2).mean(axis=1)).max(initial=1e-5))
    return limit(wav * (10 ** (LEVELS_DBFS[intensity] / 20) / max(loudest, 1e-5)))


def limit(wav: NDArray[np.float32], ceiling: float = 0.95) -> NDArray[np.float32]:
    """Scales a rendering down when it is too loud, smoothly (1-s gain, never above unity)."""
    window = SAMPLE_RATE_HZ // 2
    n = -(-len(wav) // window)
    padded = np.zeros(n * window, np.float32)
    padded[: len(wav)] = wav
    peaks = np.abs(padded).reshape(n, window).max(axis=1)
    peaks = np.maximum(peaks, np.maximum(np.r_[peaks[1:], 0], np.r_[0, peaks[:-1]]))
    gains = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9))
    centres = (np.arange(n) + 0.5) * window
    gain = np.interp(np.arange(len(wav)), centres, gains)
    return np.asarray(np.clip(wav * gain, -ceiling, ceiling), np.float32)
