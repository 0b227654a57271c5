"""Names of instruments, sections and ensembles, as a table written like those of lexicon.py."""

from __future__ import annotations

from fanfare.epic.attributes import EFFECTS, PERCUSSION

# The second entry is how exactly the words name the instruments: 2 by name, 1 as one of a family.
_DRUMS = ("taiko", "timpani")
_WINDS = ("flute", "oboe", "clarinet")
INSTRUMENT_WORDS: tuple[tuple[tuple[str, ...], int, str], ...] = (
    (("piano",), 2, """piano, pianos, grand piano, felt piano, upright piano, pianist, keyboard,
        pianoforte, electric piano, rhodes, piano chords, piano keys, klavier, flugel, teclado"""),
    (("celesta",), 2, """celesta, celeste, music box, musicbox, toy piano, kalimba, spieluhr,
        spieldose, boite a musique, caja de musica, caja musical, carillon a musique"""),
    (("glockenspiel",), 2, """glockenspiel, glock, vibraphone, sleigh bells,
        jingle bells, crotales, metallophone"""),
    (("bells",), 2, """bell, bells, tubular bell, tubular bells, church bell, church bells,
        chime, chimes, tolling, cathedral bell, cathedral bells, glocken, kirchenglocke,
        kirchenglocken, rohrenglocken, cloche, cloches, campana, campanas, campane, carillon,
        bell tolls"""),
    (("organ",), 2, """organ, organs, church organ, pipe organ, cathedral organ, hammond, hammond
        organ, harmonium, accordion, orgel, kirchenorgel, orgue, orgues, organo, orgao"""),
    (("guitar",), 2, """guitar, acoustic guitar, classical guitar, nylon guitar, spanish guitar,
        electric guitar, steel guitar, lute, mandolin, banjo, ukulele, sitar, oud, balalaika,
        guitarist, gitarre, akustikgitarre, laute, guitare, luth, guitarra, laud, chitarra,
        violao, guitar riff"""),
    (("violin",), 2, """violin, fiddle, violinist, violon, erhu, geige, violine,
        violino, alto violin, sologeige, solovioline"""),
    (("cello",), 2, """cello, cellos, celli, violoncello, cellist, violoncelle, violonchelo,
        chelo, violoncelo, viola da gamba, chello"""),
    (("contrabass",), 2, """contrabass, contrabasses, double bass, double basses, upright bass,
        string bass, bass, basses, bassline, bass line, bass guitar, basslines, low
        bass, kontrabass, kontrabasse, contrebasse, contrabajo, contrabbasso, contrabaixo"""),
    (("tremolo",), 2, """tremolo, tremolos, tremolando, tremolo strings, strings tremolo,
        trembling strings, tremolo violins, string tremolo, string tremolos, shivering strings,
        shaking strings, cordes en tremolo, cuerdas en tremolo, tremolostreicher, tremolierende
        streicher"""),
    (("pizzicato",), 2, """pizzicato, pizzicatos, pizzicati, pizz, pizzicato strings, strings
        pizzicato, plucked strings, plucked string, plucks, plucking strings, pizzicato violins,
        plucked violins, plucked cellos, gezupfte streicher, cordes pincees, cordes en pizzicato,
        cuerdas pulsadas, cuerdas en pizzicato, pizzicato celli, pizzicato cellos, plucked
        violin, pizz strings"""),
    (("harp",), 2, """harp, harpist, celtic harp, lyre, zither, dulcimer, koto, guzheng,
        harpsichord, harfe, harpe, arpa, harpa, harp glissando, harp arpeggios"""),
    (("strings",), 2, """strings, string section, string sections, string ensemble, string
        orchestra, strings section, orchestral strings, spiccato strings, ostinato strings,
        string ostinato, string ostinatos, string, staccato strings, legato strings, spiccato,
        bowed, sweeping strings, string melody, streicher, streichern, streichorchester, cordes,
        ensemble a cordes, cuerdas, seccion de cuerdas, archi, cordas, streicherensemble"""),
    (("strings",), 1, """violins, violin section, violas, geigen, violinen, violons, violines,
        violini"""),
    (("choir",), 2, """choir, choirs, choral, chorale, chorus, vocal, vocals, vocalist, voice,
        voices, singer, singers, singing, sung, soprano, sopranos, tenor, chant, chants,
        chanting, latin chant, gregorian chant, gregorian, monks, male choir, boys choir, boy
        choir, childrens choir, children choir, women choir, men choir,
        aahs, aah, ahhs, chor, chore, mannerchor, frauenchor, kinderchor, stimme, stimmen,
        gesang, choeur, choeurs, voix, chanteurs, coro, coros, voz, voces, coral, canto, cori,
        voci, vozes, opera singer, a cappella, acappella, a capella, acapella"""),
    (("trumpet",), 2, """trumpet, trumpets, cornet, bugle, bugles, flugelhorn, trompete,
        trompeten, trompette, trompettes, trompeta, trompetas, tromba, trombe, trumpeter,
        clairon"""),
    (("trombone",), 2, """trombone, trombones, low brass, bass trombone, posaune,
        posaunen, trombon, cimbasso, deep brass, tiefes blech, bass brass"""),
    (("horn",), 2, """horn, horns, french horn, french horns, english hunting horn, waldhorn,
        waldhorner, horner, cor d harmonie, cors d harmonie, cor, cors, trompas, trompa,
        corno, corni, hunting horn, war horn, war horns, battle horns, euphonium, viking horn,
        alphorn, hornern, jagdhorn, hornrufe"""),
    (("brass",), 2, """brass, brass section, brass sections, brass ensemble, brass stabs, brassy,
        blech, blechblaser, blechblasern, blaser, cuivres, metales, ottoni, metais,
        vientos metal"""),
    (("horn", "brass"), 2, "horn section, horns section"),
    (("brass", "trumpet"), 1, "fanfare, fanfares, fanfaren"),
    (("brass", "trumpet", "trombone", "horn"), 1, """brass quintet, brass band, brass quartet,
        brass choir"""),
    (("oboe",), 2, """oboe, oboes, bagpipe,
        hautbois, oboi, shawm"""),
    (("clarinet",), 2, """clarinet, clarinets, bass clarinet, saxophone, sax,
        klarinette, klarinetten, clarinette, clarinettes, clarinete, clarinetes,
        clarinetto,"""),
    (("flute",), 2, """flute, flutes, recorder, pan flute, panpipes, pan pipes, tin
        whistle, whistle, irish whistle, shakuhachi, ney, wooden flute, bamboo flute, flautist,
        flutist, flote, floten, querflote, blockflote, panflote, flute traversiere, flauta,
        flautas, flauto, flauti"""),
    (_WINDS, 1, """woodwind, woodwinds, wood winds, wind instruments, wind section, winds, wood
        wind, holzblaser, holzblasern, bois, instruments a vent, maderas, viento madera, vientos
        madera, vientos, legni, madeiras"""),
    (("pad",), 2, """pad, pads, synth, synths, synthesizer, synthesizers, synthesiser, synth pad,
        synth pads, ambient pad, ambient pads, warm pad, drone, drones, soundscape, soundscapes,
        electronic, electronics, synth drone, atmospheric pad, string pad, analog synth,
        arpeggiator, synthwave, atmospheres, synthetizer, synthesizern, flachenklange,
        synthiflachen, synthetiseur, synthe, nappe, nappes, sintetizador, sintetizadores,
        sintetizzatore, electronica"""),
    (("taiko",), 2, """taiko, taikos, taiko drum, taiko drums, bass drum, bass drums, gran cassa,
         frame drum, frame drums, bodhran, djembe, surdo, kick drum,
        grosse trommel, grosse caisse, bombo, japanese drums"""),
    (_DRUMS, 1, """drum, drums, drumming, war drum, war drums, tribal drum, tribal drums, battle
        drums, cinematic drums, thunder drums, percussion, percussions, percussionist,
        percussive, drummers, trommel, trommeln, schlagzeug, schlagwerk, perkussion,
        kriegstrommeln, tambour, tambours, batterie, tambours de guerre, tambor, tambores,
        bateria, percusion, tambores de guerra, tamburi, tamburo, batteria, percussioni,
        percussao, tribal percussion, trommelwirbel, pauken und trommeln, drum beat, drum beats,
        drumbeat, drumbeats"""),
    (("snare", "cymbals", "taiko"), 1, "drum kit, drum set, drumkit, drumset, rock drums"),
    (("timpani",), 2, """timpani, timpanis, timpano, tympani, timps, kettledrum, kettle drum,
        kettle drums, kettledrums, pauke, pauken, timbales, timbale, timbal, timpani rolls"""),
    (("snare",), 2, """snare, snares, snare drum, snare drums, side drum, marching drum, marching
        drums, marching snare, military drum, military drums, drum roll, drum rolls, drumroll,
        drumrolls, field drum, field drums, kleine trommel, marschtrommel, marschtrommeln, caisse
        claire, caja clara, redoblante, military snare, military snares, rullante, tambor
        militar, tambour militaire"""),
    (("cymbals",), 2, """cymbal, cymbals, cymbal crash, crash cymbal, crash cymbals,
         crashes, hi hat, hi hats, hihat, hihats, cymbal swells, cymbal swell, cymbal
        roll, becken, cymbale, cymbales, platillos, platillo, piatti, beckenschlag,
        beckenschlage"""),
    (("viola",), 2, "viola, viola solo, bratsche, bratschen"),
    (("tuba",), 2, "tuba, tubas, tuben, bass tuba, contrabass tuba"),
    (("english_horn",), 2, """english horn, english horns, cor anglais, englischhorn, cors anglais,
        corno ingles, corno inglese, duduk"""),
    (("bassoon",), 2, """bassoon, bassoons, contrabassoon, fagott, fagotte, basson, bassons, fagot,
        fagotto"""),
    (("piccolo",), 2, "piccolo, piccolos, piccolo flute, piccoloflote, flautin, ottavino"),
    (("marimba",), 2, "marimba, marimbas, xylophone, xylophones, xylophon, xilofono, balafon"),
    (("voices",), 2, """oohs, ooh, humming, vocalise, wordless voices, female voices, soft voices,
        whispered voices, summende stimmen, bouches fermees"""),
    (("synth_bass",), 2, """synth bass, synth basses, bass synth, sub bass, analog bass, hybrid
        bass, moog bass, synthbass, pulsing synth bass"""),
    (("toms",), 2, """toms, tom toms, tomtoms, tom tom, floor tom, floor toms, concert toms, roto
        toms"""),
    (("tam_tam",), 2, "gong, gongs, tam tam, tam tams, tamtam, gong hit, gong hits, tamtams"),
    (("shaker",), 2, "shaker, shakers, maracas, rattle, rattles, egg shaker, caxixi"),
    (("anvil",), 2, """anvil, anvils, metal hits, metallic hits, metallic percussion, hammered
        metal, amboss, enclume, yunque, metal percussion, industrial percussion"""),
    (("braam",), 2, """braam, braams, bwaam, bwaams, bram, brams, inception horn, inception horns,
        braaam, braaams, brahms hits, bwah, horn of doom"""),
    (("riser",), 2, "riser, risers, uplifter, uplifters, tension riser, rising sweep, noise riser"),
    (("impact",), 2, """impacts, cinematic impact, cinematic impacts, impact hits, deep impacts,
        slam, slams, trailer hits, cinematic hits, booms, cinematic booms"""),
    (("sub_drop",), 2, """sub drop, sub drops, subdrop, subdrops, bass drop, bass drops, sub boom,
        sub booms, sub hits, downlifter"""),
    (("whoosh",), 2, "whoosh, whooshes, swoosh, swooshes, swish, wooshes, woosh"),
    (("reverse",), 2, """reverse cymbal, reverse cymbals, reversed cymbal, reversed cymbals, reverse
        swell, reverse swells, reversed swells, backwards cymbal"""),
    (("braam", "riser", "impact"), 1, """trailer effects, trailer sounds, sound effects, trailer
        sound design, hybrid elements, cinematic effects"""),
    (("strings", "brass", "horn", "timpani"), 1, """orchestra, orchestral, full orchestra,
        symphony orchestra, symphonic, symphony, philharmonic, philharmonic orchestra, orchester,
        orchestriert, orchesterstuck, sinfonisch, symphonisch, sinfonieorchester, orchestre,
        symphonique, orquesta, orquestal, sinfonica, sinfonico, orchestrale, orchestration,
        orkester, orquestra, filmorchester, grosses orchester"""),
    (("strings", "flute", "oboe"), 1, "chamber orchestra, kammerorchester, orchestre de chambre"),
    (("violin", "cello", "strings"), 2, """string quartet, string quartets, string quintet,
        string trio, streichquartett, quatuor a cordes, cuarteto de cuerda, cuarteto de cuerdas,
        quartetto d archi"""),
    (("piano", "violin", "cello"), 2, "piano trio, piano quartet, klaviertrio"),
)  # fmt: skip

# What leaving a family out leaves out beside the instruments its word names.
FAMILIES: dict[tuple[str, ...], tuple[str, ...]] = {
    _DRUMS: PERCUSSION,
    ("snare", "cymbals", "taiko"): PERCUSSION,
    ("strings",): ("strings", "tremolo", "pizzicato", "violin", "viola", "cello", "contrabass"),
    ("brass",): ("brass", "trumpet", "trombone", "horn", "tuba", "braam"),
    ("choir",): ("choir", "voices"),
    _WINDS: (*_WINDS, "piccolo", "english_horn", "bassoon"),
    ("braam", "riser", "impact"): EFFECTS,
    ("strings", "brass", "horn", "timpani"): (
        "strings", "brass", "horn", "timpani", "tremolo", "pizzicato",
    ),
}  # fmt: skip
