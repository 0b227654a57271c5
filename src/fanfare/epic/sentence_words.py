"""Words with a part in the sentence rather than a meaning of their own, and words to pass over."""

from __future__ import annotations


def split_phrases(words: str) -> list[str]:
    """The phrases of a table's entry: parted by commas, single blanks inside."""
    return [" ".join(phrase.split()) for phrase in words.split(",") if phrase.strip()]


def _phrases(words: str) -> frozenset[str]:
    return frozenset(split_phrases(words))


# Phrases that would otherwise be misread, word for word; they say nothing here.
NEUTRAL = _phrases(
    """james horner,
    would love, i love, d love, id love, we love, love it, love to hear, not only, not
    just, not merely, no doubt, no matter, no one, non stop, nonstop, without a doubt, without
    doubt, breakfast, howling winds, wind howling, in the background, high quality, low quality,
    sound quality, nothing more, nothing less, set in, string of, strings attached, sheet music,
    key of, black and white, at the beginning, key, keys, music, piece, piece of music, moving
    image, moving on, hit song, hit single, at least, even though, even if, even when, even more,
    bell pepper, flat, sharp, major key, minor key, no longer, no more than, deep down, low end,
    slow motion camera, cor blimey, light speed, lost ark, movie, per minute, beats per minute,
    beats, minute, modern, setting, might"""
)

# Words with a part in the sentence rather than a meaning of their own.
NEGATORS_NOUN = _phrases(
    """no, without, minus, sans, ohne, kein, keine, keinen, keiner, keinem,
    keinerlei, sin, senza, sem, avoid, avoiding, exclude, excluding, omit, omitting, remove,
    removing, skip, lacking, lacks, zero, ni, neither, dont, doesnt, wont, shouldnt, mustnt, nada
    de, pas de, free of, free from, devoid of, leave out, leaving out, nessun, aucun, aucune,
    ningun, ninguna, cannot, none of, never any"""
)
NEGATORS_ADJECTIVE = _phrases(
    """not, isnt, arent, wasnt, never, nicht, pas, non, nothing, nunca, jamais,
    nie, less, anything but, far from, instead of, rather than, as opposed to, hardly, weniger,
    moins, menos, weder"""
)
FEWER = _phrases("less, weniger, moins, menos")
EXCEPTIONS = _phrases(
    """except, except for, besides, ausser, sauf, excepto, salvo, save for, other than,
    apart from, aside from, excepting, hormis"""
)
STOPPERS = _phrases(
    """but, just, only, with, yet, instead, however, although, though, while, then, solo,
    aber, mais, pero, nur, mit, avec, con, sondern, sino, plutot, more, w, please, plus, rather,
    simply"""
)
CONNECTORS_OR = _phrases("or, nor, oder, ou, o, noch, ni, u")
CONNECTORS_AND = _phrases("and, und, et, y, e")
FILLERS = _phrases(
    """any, the, a, an, of, kind, sort, type, all, too, very, much, overly, so, really, at,
    be, is, it, des, de, du, la, el, le, les, las, los, der, die, das, ein, eine, einen, zu,
    trop, demasiado, muy, tres, sehr, d, l, un, una, une, particularly, especially, big,
    terribly, instruments, instrument, section, sections, sounds, sound, use, added, additional,
    other, another"""
)
LATER = _phrases(
    """until, till, before, initially, at first, in the beginning, at the beginning, at the
    start, in the intro, to begin with, first half, bis, jusqu, hasta, in the first, during the
    intro, yet"""
)
AMPLIFIERS = _phrases(
    """very, extremely, super, really, incredibly, ultra, insanely, deeply, truly,
    utterly, so, highly, intensely, hugely, most, sehr, extrem, tres, extremement, muy,
    absolutely, totally, molto, unbelievably"""
)
SOFTENERS = _phrases(
    """slightly, somewhat, fairly, moderately, bit, little, semi, mildly, medium, mid,
    relatively, vaguely, leicht, etwas, ein bisschen, un peu, assez, algo, un poco,
    moderadamente, reasonably, hint, touch"""
)
TURNS = _phrases(
    """then, end, ends, ending, becomes, become, becoming, turns, turning, into, explodes,
    erupts, bursts, finale, outro, later, eventually, leads, leading, transitions, transitioning,
    transition, finish, finishes, finishing, before, until, evolves, evolving, endet, dann, puis,
    finit, termina, luego, afterwards, finally, towards"""
)
FROM = _phrases("from, von, vom, desde, de, du")
TO = _phrases("to, zu, zum, bis, a, hasta, into, towards")

# "just", "only": before what plays alone; after it; either way, unless something else plays too.
ONLY_BEFORE = _phrases(
    """only, just, solely, exclusively, purely, nothing but, nothing except, nothing
    other than, nur, bloss, ausschliesslich, lediglich, seulement, uniquement, juste, rien que,
    solamente, unicamente, exclusivamente, nada mas que, solo con, nichts ausser, nichts als,
    unaccompanied, unbegleitet, unbegleitete, unbegleitetes, simply, exclusivement, rien d autre
    que, soltanto, solo para, only instrument, strictly, sole"""
)
ONLY_AFTER = _phrases(
    """only, alone, solely, exclusively, nur, allein, alleine, seul, seule, seuls,
    seules, unaccompanied, by itself, by themselves, on its own, on their own, solamente,
    unicamente, a solas, seulement, uniquement, as the only instrument, is the only instrument,
    unbegleitet, all by itself, as sole instrument, da solo"""
)
ONLY_ANYWHERE = _phrases(
    """nothing else, no other instruments, no other instrument, no accompaniment,
    without accompaniment, no backing, sonst nichts, rien d autre, nada mas, without other
    instruments, without any other instruments, no additional instruments, without any
    accompaniment, ohne begleitung, sans accompagnement, sin acompanamiento, ohne andere
    instrumente, sin otros instrumentos, sans autres instruments, sans autre instrument"""
)
SOLO = _phrases(
    """solo, lone, soloist, duet, duo, single, soli, sola, solos, solitary, einsame, einsames,
    trio"""
)
ONLY_SOMETIMES = _phrases(
    """at the end, at the climax, in the climax, in the chorus, in the finale, in
    the intro, in the outro, in the middle, in the second half, at the start, at the beginning,
    at first, during, when, after, until, in the last, in the final, for the climax, for the
    finale, for the intro, towards the end, near the end, am ende, am anfang, a la fin, al final,
    occasionally, once, briefly, later, sometimes, now and then"""
)
A_LITTLE = _phrases(
    "hint, touch, bit, little, few, dash, pinch, sprinkle, enough, like, tad, some, because, as"
)
WORDLESS = _phrases("lyrics, lyric, words, paroles, letra, texte, letras, worte")
BESIDE = _phrases("with, featuring, feat, and, plus, mit, avec, con, then, over, und, et, y")
REFUSED = _phrases("free, excluded, removed, omitted, off, none, forbidden, unwanted")

# Ensembles that are the whole band unless other instruments are named beside them.
ENSEMBLES = _phrases(
    """string quartet, string quartets, string quintet, string trio, streichquartett,
    quatuor a cordes, cuarteto de cuerda, cuarteto de cuerdas, quartetto d archi, piano trio,
    piano quartet, klaviertrio, brass quintet, brass band, brass quartet, a cappella, acappella,
    a capella, acapella, sologeige, solovioline, sologesang, soloklavier"""
)

# Words that look like a misspelt or inflected word of the tables, yet are words of their own.
COMMON = _phrases(
    """spring, hunting, harper, flower, master, matter, cattle, bottle, rattle,
    bridge, knight, raising, pacing, facing, violet, cellar, planet, better, letter, sister,
    season, person, reason, market, nation, station, passing, wording, walking, talking, working,
    thinking, blackened, organic, organise, organize, organized, change, changes, sting, stings,
    brain, train, corn, horned, hornet, harped, liver, driver, mining, evening, during, darn,
    mastery, bounding, grounding, stride, logging, contiguous, related, calling, codes, losses,
    spaces, subset, variant, trainer, changing, placed, corner, cornered, passes, passed, stroke,
    strokes, latent, routing, spanning, sharing, recorded, looking, spacing, cells, cores,
    exiting, cherry, shares, broke, relating, spelling, radians, races, walker, scroll, relies,
    charts, chats, expire, reusing, smoothing, signing, deriving, ranging, shells, speaking,
    minutes, telling, rating, lowers, studies, defective, hearing, reading, leading, beating,
    heating, seating, storing, sporting, staring, string, bearing, wearing, clearing, hosting,
    posting, wanting, painting, planting, granting, lasting, tasting, moderne, quarter, quieted,
    whistler, fighter, lighter, tighter, sounded, weather, leather, feather, father, mother,
    brother, ringing, bringing, sinking, winning, spinning, beginning, mothers, fathers, stories,
    starting, starring, battery, banner, manner, hammer, glossy, pension, mention, section,
    bronze, brush, cinematic, traffic, colors, colour, colours, parties, partial, marital,
    pirated, heron, heroin, beaches, peaches, forced, forces, foster, poster, roster, coaster,
    choose, chose, chores, guided, guarded, growling, prowling, ocarina"""
)
