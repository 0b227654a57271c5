"""Generates a batch of jobs with torch, one delayed step at a time.

J jobs, R rows (all jobs, then the null rows of the guided ones), K codebooks, T frames,
P prompt frames or prefix length, S delayed steps, D width, L text length.

Jobs of any length, prompt and settings share a batch: rows are padded on the left, so that every
job's first free column is the batch's first step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fanfare.engine.job import Job, Progress, Result
from fanfare.engine.windows import Window, plan_windows
from fanfare.nn.cache import KvCache
from fanfare.nn.conditioning import Conditions, align_frames
from fanfare.nn.delay import DelayPattern
from fanfare.nn.lm import LanguageModel
from fanfare.nn.sampling import SamplingSettings, draw, exponential_noise, mix_guidance


def generate(lm: LanguageModel, jobs: Sequence[Job]) -> Iterator[Progress | Result]:
    """Run `jobs` together; yields a `Progress` after every step and, last, the `Result`.

    A job's codes don't depend on the others in the batch, nor on torch's global generator. Pieces
    longer than the model's reach are made in windows, each going on from the end of the last.
    """
    assert jobs, "no jobs"
    plans = [plan_windows(lm.config, job.n_frames, job.n_prompt_frames) for job in jobs]
    rounds = [
        [j for j, plan in enumerate(plans) if index < len(plan)]
        for index in range(max(len(plan) for plan in plans))
    ]
    n_steps = sum(
        max(plans[j][index].n_frames - plans[j][index].n_prompt for j in members)
        + lm.config.max_delay
        for index, members in enumerate(rounds)
    )
    generators = [_generator(job, lm.device) for job in jobs]
    codes: list[Tensor | None] = [job.prompt for job in jobs]  # so far
    done = 0
    for index, members in enumerate(rounds):
        members = [j for j in members if not jobs[j].cancelled.is_set()]
        if not members:
            break
        parts = [_part(jobs[j], plans[j][index], index, codes[j]) for j in members]
        batch = _Batch(lm, parts, [generators[j] for j in members])
        for step in range(batch.n_steps):
            if all(part.cancelled.is_set() for part in parts):
                break
            batch.step(step)
            done += 1
            yield Progress(done, n_steps)
        for j, made in zip(members, batch.codes(), strict=True):
            codes[j] = _joined(codes[j], made, plans[j][index])
    yield Result(
        [None if job.cancelled.is_set() else made for job, made in zip(jobs, codes, strict=True)]
    )


def _generator(job: Job, device: torch.device) -> torch.Generator | None:
    if job.settings.is_greedy:
        return None
    return torch.Generator(device=device).manual_seed(job.seed)


def _part(job: Job, window: Window, index: int, codes: Tensor | None) -> Job:
    """The job of one window, `codes` [K, T so far] being what it goes on from."""
    conditions, null = job.conditions, job.null
    if index > 0 and job.later:
        conditions, null = job.later[index - 1]
    prompt = None
    if window.n_prompt:
        assert codes is not None
        prompt = codes[:, window.start : window.start + window.n_prompt]
    return replace(job, n_frames=window.n_frames, conditions=conditions, null=null, prompt=prompt)


def _joined(codes: Tensor | None, made: Tensor | None, window: Window) -> Tensor | None:
    """The codes so far with what a window adds to them."""
    if made is None or codes is None:
        return made
    return torch.cat([codes.to(made.device), made[:, window.n_prompt :]], dim=1)


class _Batch:
    """The tensors of one run: the cache, the columns so far, the noise."""

    @torch.inference_mode()
    def __init__(
        self,
        lm: LanguageModel,
        jobs: Sequence[Job],
        generators: Sequence[torch.Generator | None],
    ) -> None:
        self.lm = lm
        self.jobs = jobs
        self.sampler = _Sampler(jobs, generators, lm)
        self.guided = [j for j, job in enumerate(jobs) if job.is_guided]
        self.rows = list(range(len(jobs))) + self.guided  # the job of each row
        self.spread = None
        if self.guided:
            self.spread = torch.tensor(self.rows, device=lm.device)  # [R]
        self._lay_out_columns()
        conditions = [job.conditions for job in jobs]
        for j in self.guided:
            null = jobs[j].null
            assert null is not None
            conditions.append(null)
        self.frames = self._frames_by_step(conditions)
        self.logits = self._prefill(conditions)

    def _lay_out_columns(self) -> None:
        """Delayed sequences with their free cells marked; step i fills column P + 1 + i."""
        config, jobs = self.lm.config, self.jobs
        pattern = DelayPattern(config.delays, config.special_token)
        free = -1
        sequences = []  # of each job: [K, S]
        for job in jobs:
            codes = torch.full((1, config.n_codebooks, job.n_frames), free)
            if job.prompt is not None:
                codes[0, :, : job.n_prompt_frames] = job.prompt
            sequences.append(pattern.build(codes)[0])
        self.known = [
            sequence[:, : job.n_prompt_frames + 1].to(self.lm.device)
            for sequence, job in zip(sequences, jobs, strict=True)
        ]  # [K, P + 1] each
        tails = [
            sequence[:, job.n_prompt_frames + 1 :]
            for sequence, job in zip(sequences, jobs, strict=True)
        ]
        self.n_steps = max(tail.shape[1] for tail in tails)
        forced = torch.full(
            (self.n_steps, len(jobs), config.n_codebooks), config.special_token
        )  # [steps, J, K]; `free` where a token is to be drawn
        for j, tail in enumerate(tails):
            forced[: tail.shape[1], j] = tail.T
        self.is_forced = (forced != free).flatten(1).any(dim=1).tolist()
        self.columns = forced.to(self.lm.device)  # filled in as steps are made

    def _frames_by_step(self, conditions: Sequence[Conditions]) -> Tensor | None:
        """What a plan adds to the input of each step after the first: [steps - 1, R, 1, D]."""
        if all(condition.frames is None for condition in conditions):
            return None
        by_row = []
        for row, condition in enumerate(conditions):
            assert condition.frames is not None, "either all jobs of a batch have frames or none"
            first = self.jobs[self.rows[row]].n_prompt_frames + 1
            steps = align_frames(condition.frames, first + self.n_steps - 1)
            by_row.append(steps[first:])
        return torch.stack(by_row, dim=1)[:, :, None]

    def _prefill(self, conditions: Sequence[Conditions]) -> Tensor:
        """Run every row's prefix and known columns at once: logits [R, K, card] of step 0."""
        inputs = []  # of each row: [1, prefix + P + 1, D]
        for j, condition in zip(self.rows, conditions, strict=True):
            tokens = self.known[j][None]
            frames, prefix = condition.frames, condition.prefix
            if frames is not None:
                frames = align_frames(frames, tokens.shape[2])[None]
            inputs.append(self.lm.embed(tokens, None if prefix is None else prefix[None], frames))
        n_prefill = max(x.shape[1] for x in inputs)
        pads = [n_prefill - x.shape[1] for x in inputs]
        cross, cross_mask = _stack_cross(conditions)
        self.cache: KvCache = self.lm.new_cache(
            n_prefill + self.n_steps - 1, n_prefill, pads, cross, cross_mask
        )
        x = torch.cat(
            [
                torch.nn.functional.pad(x, (0, 0, pad, 0))
                for x, pad in zip(inputs, pads, strict=True)
            ]
        )  # [R, n_prefill, D]
        return self._logits(x)

    def _logits(self, x: Tensor) -> Tensor:
        """Run embedded steps [R, S, D]: logits [R, K, card] after the last one."""
        return self.lm.read_out(self.lm.extend(x, self.cache)[:, -1:])[:, :, 0]

    @torch.inference_mode()
    def step(self, step: int) -> None:
        """Draw column `step` of the tail, running the model on the one before it."""
        if step > 0:
            x = self.lm.embed(self.columns[step - 1][:, :, None], None, None)  # [J, 1, D]
            if self.spread is not None:
                x = x.index_select(0, self.spread)  # [R, 1, D]
            if self.frames is not None:
                x = x + self.frames[step - 1]
            self.logits = self._logits(x)
        tokens = self.sampler(self.logits, step)  # [J, K]
        if self.is_forced[step]:
            column = self.columns[step]
            tokens = torch.where(column < 0, tokens, column)
        self.columns[step] = tokens

    def codes(self) -> list[Tensor | None]:
        """Codes [K, T] of each job that wasn't cancelled."""
        config = self.lm.config
        pattern = DelayPattern(config.delays, config.special_token)
        result: list[Tensor | None] = []
        for j, (job, known) in enumerate(zip(self.jobs, self.known, strict=True)):
            if job.cancelled.is_set():
                result.append(None)
                continue
            delayed = torch.cat([known, self.columns[:, j].T], dim=1)  # [K, S or more]
            delayed = delayed[:, : config.n_steps(job.n_frames)]
            result.append(pattern.revert(delayed[None])[0])
        return result


class _Sampler:
    """Draws one column of tokens for every job, each by its own settings and generator."""

    def __init__(
        self,
        jobs: Sequence[Job],
        generators: Sequence[torch.Generator | None],
        lm: LanguageModel,
    ) -> None:
        J, config, device = len(jobs), lm.config, lm.device
        self.n_jobs = J
        self.generators = generators
        self.noise = torch.ones(J, config.n_codebooks, config.card, device=device)
        guided = [j for j, job in enumerate(jobs) if job.is_guided]
        self.guided = torch.tensor(guided, device=device) if 0 < len(guided) < J else None
        self.weights = torch.tensor([jobs[j].settings.guidance for j in guided], device=device)[
            :, None, None
        ]  # [guided jobs, 1, 1]
        by_settings: dict[SamplingSettings, list[int]] = {}
        for j, job in enumerate(jobs):
            by_settings.setdefault(job.settings, []).append(j)
        self.groups = [
            (settings, torch.tensor(members, device=device))
            for settings, members in by_settings.items()
        ]

    def __call__(self, logits: Tensor, step: int) -> Tensor:
        """Tokens [J, K] from logits [R, K, card]."""
        cond, null = logits[: self.n_jobs], logits[self.n_jobs :]  # [J, K, card], [guided, ...]
        if self.guided is not None:
            mixed = mix_guidance(cond[self.guided], null, self.weights)
            cond = cond.index_copy(0, self.guided, mixed)
        elif null.shape[0]:
            cond = mix_guidance(cond, null, self.weights)
        for j, generator in enumerate(self.generators):
            if generator is not None:
                exponential_noise(self.noise[j], generator)
        if len(self.groups) == 1:
            return draw(cond, self.groups[0][0], self.noise)
        tokens = torch.empty(cond.shape[:2], dtype=torch.int64, device=cond.device)
        for settings, members in self.groups:
            tokens[members] = draw(cond[members], settings, self.noise[members])
        return tokens


def _stack_cross(conditions: Sequence[Conditions]) -> tuple[Tensor | None, Tensor | None]:
    """Texts of different length as one [R, L, D] with its mask [R, L]; None without padding.

    A null text is a zero vector, which adds nothing whatever it is padded to.
    """
    texts = [condition.cross for condition in conditions]
    if all(text is None for text in texts):
        return None, None
    given = [text for text in texts if text is not None]
    assert len(given) == len(texts), "either all jobs of a batch have text or none"
    cross = torch.nn.utils.rnn.pad_sequence(given, batch_first=True)  # [R, L, D]
    lengths = torch.tensor([text.shape[0] for text in given], device=cross.device)
    if int(lengths.min()) == cross.shape[1]:
        return cross, None
    return cross, torch.arange(cross.shape[1], device=cross.device) < lengths[:, None]
