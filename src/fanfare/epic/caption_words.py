"""The words that captions are made of, in four languages; tables, no logic.

They are meant to be understood (`understand`), but aren't taken from its tables: a caption is to be
what somebody might write.
"""

from __future__ import annotations

from typing import Literal

from fanfare.epic.attributes import Form, Mood, Texture

Language = Literal["en", "de", "fr", "es"]

MOODS: dict[Language, dict[Mood, tuple[str, ...]]] = {
    "en": {
        "heroic": ("heroic", "triumphant", "victorious", "valiant", "majestic", "proud", "noble"),
        "adventurous": ("adventurous", "swashbuckling", "daring", "adventure-filled"),
        "dark": ("dark", "ominous", "sinister", "menacing", "brooding", "foreboding", "grim"),
        "tense": ("tense", "suspenseful", "nervous", "anxious", "nerve-racking"),
        "sad": ("sad", "mournful", "sorrowful", "melancholic", "heartbroken", "tearful"),
        "calm": ("calm", "peaceful", "serene", "tranquil", "relaxing", "soothing"),
        "hopeful": ("hopeful", "uplifting", "inspiring", "optimistic", "joyful"),
        "mysterious": ("mysterious", "enigmatic", "mystical", "eerie", "otherworldly"),
        "romantic": ("romantic", "tender", "loving", "affectionate"),
    },
    "de": {
        "heroic": ("heroische", "heldenhafte", "triumphale"), "adventurous": ("abenteuerliche",),
        "dark": ("düstere", "dunkle", "bedrohliche"), "tense": ("spannende", "nervöse"),
        "sad": ("traurige", "melancholische"), "calm": ("ruhige", "friedliche"),
        "hopeful": ("hoffnungsvolle",), "mysterious": ("geheimnisvolle", "mysteriöse"),
        "romantic": ("romantische", "zärtliche"),
    },
    "fr": {
        "heroic": ("héroïque", "triomphale"), "adventurous": ("d'aventure",),
        "dark": ("sombre", "menaçante", "sinistre"), "tense": ("tendue", "angoissante"),
        "sad": ("triste", "mélancolique"), "calm": ("calme", "paisible"),
        "hopeful": ("pleine d'espoir", "inspirante"), "mysterious": ("mystérieuse",),
        "romantic": ("romantique", "tendre"),
    },
    "es": {
        "heroic": ("heroica", "triunfal"), "adventurous": ("de aventura", "aventurera"),
        "dark": ("oscura", "siniestra"), "tense": ("tensa",),
        "sad": ("triste", "melancólica"), "calm": ("tranquila", "serena"),
        "hopeful": ("esperanzadora", "inspiradora"), "mysterious": ("misteriosa", "enigmática"),
        "romantic": ("romántica", "tierna"),
    },
}  # fmt: skip

FORCE: dict[Language, tuple[tuple[str, ...], ...]] = {
    "en": (
        ("very quiet", "barely audible", "whisper-quiet", "pianissimo"),
        ("gentle", "soft", "restrained"), ("strong", "bold", "energetic"),
        ("massive", "thunderous", "full-force", "enormous", "fortissimo", "powerful"),
    ),
    "de": (("sehr leise",), ("sanfte",), ("kraftvolle",), ("gewaltige",)),
    "fr": (("très douce",), ("douce",), ("énergique",), ("puissante",)),
    "es": (("muy suave",), ("suave",), ("enérgica",), ("potente",)),
}  # fmt: skip

FORMS: dict[Language, dict[Form, tuple[str, ...]]] = {
    "en": {
        "steady": ("steady throughout", "at a constant level", "a loopable bed"),
        "build": (
            "building to a climax", "with a long crescendo", "rising all the way",
            "slowly building up", "growing from quiet to loud",
        ),
        "fade": (
            "slowly fading out", "dying away at the end", "calming down", "fading into silence",
        ),
        "hit": ("with hard stabs", "stop-start hits", "with sudden stops and stabs"),
    },
    "de": {
        "steady": ("gleichmäßig",), "build": ("wird immer lauter", "mit großer Steigerung"),
        "fade": ("langsam ausklingend",), "hit": ("with hard stabs",),
    },
    "fr": {
        "steady": ("régulière",), "build": ("avec un long crescendo",),
        "fade": ("qui s'éteint",), "hit": ("with hard stabs",),
    },
    "es": {
        "steady": ("constante",), "build": ("con un gran crescendo",),
        "fade": ("que se desvanece",), "hit": ("with hard stabs",),
    },
}  # fmt: skip
FORM_SENTENCES: dict[Form, tuple[str, ...]] = {
    "steady": ("It stays steady throughout.", "Keep it steady, no build-up."),
    "build": (
        "It builds to a climax.", "It starts quietly and ends thunderous.",
        "Let it grow into a huge crescendo.",
    ),
    "fade": ("It fades away at the end.", "It calms down towards the end and dies away."),
    "hit": ("It comes in hard stabs.", "Stop-start hits all along."),
}  # fmt: skip

PLAYERS: dict[str, tuple[str, ...]] = {
    "bells": ("tubular bells", "church bells"), "brass": ("brass", "a brass section"),
    "cello": ("cello", "a cello"), "choir": ("choir", "a wordless choir", "chanting voices"),
    "contrabass": ("double bass", "contrabass"), "cymbals": ("cymbals", "crash cymbals"),
    "guitar": ("acoustic guitar", "classical guitar"), "horn": ("French horns", "horns"),
    "organ": ("church organ", "pipe organ"), "pad": ("synth pad", "a warm synthesizer pad"),
    "pizzicato": ("pizzicato strings", "plucked strings"),
    "snare": ("snare drum", "military snare"),
    "strings": ("strings", "a string section", "string orchestra"),
    "taiko": ("taiko drums", "taiko", "taikos"), "tremolo": ("tremolo strings",),
    "violin": ("violin", "a violin"), "celesta": ("celesta", "music box"),
    "piano": ("piano", "grand piano", "a felt piano"), "harp": ("harp", "harp arpeggios"),
    "trumpet": ("trumpet", "trumpets"), "trombone": ("trombones", "low brass"),
    "flute": ("flute", "a wooden flute"), "oboe": ("oboe",), "clarinet": ("clarinet",),
    "timpani": ("timpani", "kettledrums"), "english_horn": ("English horn", "cor anglais"),
    "synth_bass": ("synth bass", "pulsing synth bass"), "voices": ("wordless voices", "humming"),
    "tam_tam": ("gong", "tam-tam"), "shaker": ("shaker", "shakers"), "toms": ("toms", "floor toms"),
    "anvil": ("anvil", "anvils"), "braam": ("braams", "a braam"), "riser": ("riser", "risers"),
    "impact": ("cinematic impacts", "deep impacts"), "sub_drop": ("sub drop", "sub drops"),
    "whoosh": ("whooshes",), "reverse": ("reverse cymbal", "reversed cymbals"),
    "bassoon": ("bassoon", "bassoons"), "marimba": ("marimba", "xylophone"),
}  # fmt: skip
FOREIGN_PLAYERS: dict[Language, dict[str, str]] = {
    "en": {},
    "de": {
        "piano": "Klavier", "harp": "Harfe", "strings": "Streicher", "choir": "Chor",
        "horn": "Hörner", "trumpet": "Trompete", "flute": "Flöte", "violin": "Geige",
        "timpani": "Pauken", "organ": "Orgel", "guitar": "Gitarre", "trombone": "Posaunen",
        "bells": "Kirchenglocken", "bassoon": "Fagott", "clarinet": "Klarinette",
    },
    "fr": {
        "piano": "piano", "harp": "harpe", "strings": "cordes", "choir": "chœur",
        "brass": "cuivres",
        "trumpet": "trompette", "flute": "flûte", "violin": "violon", "cello": "violoncelle",
        "organ": "orgue", "guitar": "guitare", "timpani": "timbales", "oboe": "hautbois",
    },
    "es": {
        "piano": "piano", "harp": "arpa", "strings": "cuerdas", "choir": "coro", "brass": "metales",
        "trumpet": "trompeta", "flute": "flauta", "violin": "violín", "cello": "violonchelo",
        "organ": "órgano", "guitar": "guitarra", "timpani": "timbales",
    },
}  # fmt: skip

NOUNS: dict[Language, tuple[str, ...]] = {
    "en": ("music", "score", "theme", "cue", "track", "piece", "film music", "soundtrack"),
    "de": ("Musik", "Filmmusik"), "fr": ("musique", "musique de film"),
    "es": ("música", "música de cine"),
}  # fmt: skip
WITH: dict[Language, tuple[str, ...]] = {
    "en": ("with", "for", "featuring", "with plenty of"), "de": ("mit", "für"),
    "fr": ("avec", "pour"), "es": ("con", "para"),
}  # fmt: skip
AND: dict[Language, str] = {"en": "and", "de": "und", "fr": "et", "es": "y"}
ONLY: dict[Language, tuple[str, ...]] = {
    "en": ("only {}", "just {}", "nothing but {}", "{} alone"), "de": ("nur {}",),
    "fr": ("seulement {}",), "es": ("solo {}",),
}  # fmt: skip
NO_DRUMS: dict[Language, tuple[str, ...]] = {
    "en": ("no drums", "without percussion", "drumless"), "de": ("ohne Schlagzeug",),
    "fr": ("sans percussion",), "es": ("sin percusión",),
}  # fmt: skip
METRES: dict[Language, dict[int, tuple[str, ...]]] = {
    "en": {
        3: ("in 3/4", "in waltz time", "3/4 time"), 4: ("in 4/4", "four-four time"),
        6: ("in 6/8", "6/8 time", "in six-eight"),
    },
    "de": {3: ("im Walzertakt",), 4: ("im Viervierteltakt",), 6: ("im Sechsachteltakt",)},
    "fr": {3: ("à trois temps",), 4: ("4/4",), 6: ("6/8",)},
    "es": {3: ("3/4",), 4: ("4/4",), 6: ("6/8",)},
}  # fmt: skip
TEXTURES: dict[Texture, tuple[str, ...]] = {
    "solo": (), "chamber": ("chamber music", "intimate", "sparse", "a small ensemble"),
    "full": ("full orchestra", "a large orchestra", "tutti"),
}  # fmt: skip
SOLFEGE = ("do", "do dièse", "ré", "mi bémol", "mi", "fa", "fa dièse", "sol", "la bémol", "la",
           "si bémol", "si")  # fmt: skip
GERMAN_NOTES = ("C", "Cis", "D", "Es", "E", "F", "Fis", "G", "As", "A", "B", "H")
SPANISH_NOTES = ("do", "do sostenido", "re", "mi bemol", "mi", "fa", "fa sostenido", "sol",
                 "la bemol", "la", "si bemol", "si")  # fmt: skip
