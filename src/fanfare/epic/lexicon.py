"""The words people use for epic music, as tables; vocabulary.py turns them into lookups.

Phrases are separated by commas and written as text arrives after cleaning: lower case, without
accents, hyphens or apostrophes. Plurals, adverbs and adjective endings are found by vocabulary.py.
English comes first in each row; German, French and Spanish (some Italian) follow it.
"""

from __future__ import annotations

from fanfare.epic.attributes import Form, Mood

# Weights: 2 says it outright, 1 implies it, less is a nuance.
MOOD_WORDS: tuple[tuple[Mood, float, str], ...] = (
    ("heroic", 2.0, """heroic, heroism, hero, heroine, superhero, triumphant, triumph,
        victorious, victory, valiant, valor, valour, brave, bravery, courageous, courage,
        glorious, glory, majestic, majesty, noble, proud, pride, regal, royal, stately, gallant,
        fearless, maestoso, patriotic, martial, marziale, conquering, undefeated, invincible,
        unstoppable, fanfare, heroisch, heldenhaft, held, triumphal, siegreich, sieg, stolz,
        majestatisch, mutig, tapfer, heroique, heros, triomphant, triomphal, triomphe,
        victorieux, victoire, majestueux, glorieux, fier, courageux, heroico, heroe, triunfal,
        triunfante, triunfo, victorioso, victoria, majestuoso, glorioso, orgulloso, valiente,
        eroico, trionfale"""),
    ("heroic", 1.0, """grand, bold, champion, coronation, king, queen, emperor, empire, knight,
        warrior, gladiator, army, anthem, anthemic, olympic, sports, parade, legend, legendary,
        legion, determined, determination, powerful, mighty, viking, samurai, spartan, conquest,
        conquer, rally, grandiose, grandioso, imposing, defiant, hymne, hymn, krieger, guerrero,
        guerrier, rousing, commander, battlefield, last stand"""),
    ("heroic", 0.6, """epic, battle, war, guerre, krieg, guerra, marching, march,
        military, trailer, kingdom, soldier,
        epique, episch, epico, schlacht, bataille, batalla, combat, fight, climactic, colossal"""),
    ("adventurous", 2.0, """adventurous, adventure, swashbuckling, swashbuckler, daring,
        exploring, exploration, explorer, expedition, quest, voyage, pirate, treasure, questing,
        high seas, abenteuerlich, abenteuerlustig, abenteuer, aventureux, aventure, aventurero,
        aventura, avventuroso, avventura"""),
    ("adventurous", 1.2, """journey, traveling, travelling, travel, discovery, exciting,
        excitement, thrilling, playful, whimsical, fantasy, dragon, western, cowboy, galloping,
        gallop, sailing, ship, jungle, safari, desert, caravan, wanderlust, flying, flight,
        swooping, exhilarating, spirited, frontier, airship, road trip, reise, piraten, pirata,
        corsaire, voyager, viaje, exotic, racing, action packed, hero journey, wild west,
        mischievous, quirky, scherzo"""),
    ("adventurous", 0.7, """action, energetic, lively, mountain, ocean, sea, medieval, horse,
        castle, video game, tavern, folk, islands, horizon, soaring, fun, bouncy, jaunty,
        skipping"""),
    ("dark", 2.0, """dark, darkness, sinister, ominous, menacing, menace, evil, grim, foreboding,
        dread, dreadful, horror, scary, terrifying, terror, frightening, creepy, demonic, demon,
        satanic, hellish, gothic, macabre, doom, bleak, brooding, threatening, malevolent,
        apocalyptic, apocalypse, villain, villainous, villains, dystopian, diabolical, wicked,
        dark fantasy, nightmarish, nightmare, infernal, murky, dooming, duster, dunkel, finster,
        bedrohlich, unheilvoll, bose, schaurig, gruselig, sombre, tenebreux, sinistre, menacant,
        effrayant, lugubre, obscur, oscuro, sombrio, siniestro, tenebroso, amenazante,
        amenazador, aterrador, maligno, terrorifico, cupo, oscura"""),
    ("dark", 1.0, """spooky, monster, vampire, zombie, haunted, graveyard, witch, curse, cursed,
        hell, underworld, abyss, shadow, shadowy, gloomy, gloom, somber, angry, anger, rage,
        wrath, death, dying, deadly, blood, bloody, brutal, savage, destruction, doomed, crypt,
        dungeon, necromancer, fallen, aggressive, eerie, unsettling, cold, disturbing, chilling,
        evocation, post apocalyptic, war torn, gore, unheimlich, schatten, morbid, occult"""),
    ("dark", 0.6, "war, ghost, ghostly, haunting, storm, dissonant, industrial, heavy, invasion"),
    ("tense", 2.0, """tense, tension, suspense, suspenseful, thriller, anxious, anxiety, nervous,
        nerve wracking, nerve racking, nail biting, edgy, urgent, urgency, restless, uneasy,
        unease, panic, panicked, frantic, frenetic, chase, pursuit, countdown, ticking, ticking
        clock, danger, dangerous, perilous, peril, on edge, edge of your seat, on the edge of
        your seat, agitated, agitato, desperate, high stakes, paranoid, spannend, angespannt,
        spannung, spannungsvoll, spannungsgeladen, nervos, hektisch, dringlich, verfolgungsjagd,
        verfolgung, tendu, angoissant, angoisse, haletant, nerveux, stressant, poursuite, tenso,
        suspenso, angustiante, nervioso, inquietante, intriga, persecucion, peligro, teso"""),
    ("tense", 1.0, """dramatic, escape, heist, stealth, stealthy, sneaking, interrogation, alarm,
        crisis, deadline, conflict, confrontation, showdown, standoff, hunted, storm, stormy,
        relentless, pulsing, unsettling, dramatisch, dramatique, dramatico, duel, disaster,
        running, hunt, hunting, aggressive, breathless, race, race against time, bomb, spy,
        hostile, violent"""),
    ("tense", 0.6, """battle, intense, driving, action, fight, combat, racing, crime, chaos,
        chaotic, schlacht, bataille, batalla, thrilling, dissonant, furious, fierce"""),
    ("sad", 2.0, """sad, sadness, sorrow, sorrowful, melancholy, melancholic, mournful, mourning,
        mourn, grief, grieving, tragic, tragedy, heartbreaking, heartbreak, heartbroken, tearful,
        tears, crying, weeping, lament, lamenting, lamentation, lamentoso, elegy, elegiac,
        somber, plaintive, wistful, lonely, loneliness, lonesome, despair, despairing, hopeless,
        hopelessness, desolate, desolation, depressing, depressed, downcast, bittersweet,
        funeral, requiem, dirge, farewell, goodbye, regret, regretful, sombre mood, mesto,
        dolente, doloroso, painful, pain, anguish, traurig, trauer, trauernd, trubselig,
        melancholisch, wehmutig, trauermarsch, begrabnis, abschied, klagend, schmerzlich, einsam,
        triste, tristesse, melancolique, melancolie, deuil, funebre, larmes, douloureux,
        nostalgique, plaintif, desespere, tristeza, melancolico, melancolia, lugubre funeral,
        afligido, llanto, funeraria, nostalgico, malinconico, dolor"""),
    ("sad", 1.0, """nostalgic, nostalgia, solemn, loss, lost, memorial, widow, orphan, breakup,
        rain, rainy, emotional, gloomy, gloom, forlorn, poignant, broken, goodbyes, remembrance,
        pensive, longing, yearning, moving, death, dying, grave, fallen, ruin, aching, moody,
        autumn, blue"""),
    ("sad", 0.6, "haunting, reflective, tender, touching, introspective, memories"),
    ("calm", 2.0, """calm, calming, peaceful, peace, serene, serenity, tranquil, tranquility,
        tranquillo, relaxing, relaxed, relax, soothing, meditative, meditation, restful, placid,
        contemplative, lullaby, idyllic, pastoral, laid back, chill, chilled, stillness, zen, at
        ease, dreamy, sleepy, sleep, unhurried, mellow, ruhig, friedlich, entspannt, entspannend,
        gelassen, besinnlich, vertraumt, schlaflied, wiegenlied, frieden, still und leise, calme,
        paisible, apaisant, apaise, tranquille, serein, relaxant, reposant, berceuse, tranquilo,
        calmado, calma, pacifico, sereno, relajante, relajado, apacible, cancion de cuna,
        placido, rilassante"""),
    ("calm", 1.0, """gentle, soft, quiet, ambient, ethereal, floating, drifting, spa, yoga,
        meadow, lake, river, garden, nature, countryside, pasture, dreamlike, dream, airy,
        heavenly, angelic, reflective, sanft, doux, suave, leise, snow, snowfall, winter,
        newborn, study, cozy, cosy, resting, mild, lazy, leisurely, weightless, introspective,
        background, misty morning"""),
    ("calm", 0.6, """warm, rain, sunset, starry, delicate, subtle, minimal, hushed, evening,
        ocean, light"""),
    ("hopeful", 2.0, """hopeful, hope, hopefully, optimistic, optimism, uplifting, inspiring,
        inspirational, inspire, inspired, motivational, motivating, encouraging, joyful, joyous,
        joy, happy, happiness, cheerful, cheery, jubilant, exultant, euphoric, redemption,
        redemptive, positive, radiant, elated, merry, upbeat, giocoso, feel good, celebration,
        celebratory, celebrating, rejoicing, hoffnungsvoll, hoffnung, zuversichtlich,
        optimistisch, frohlich, freudig, freude, glucklich, heiter, inspirierend, erhebend,
        espoir, optimiste, joyeux, joie, heureux, gai, lumineux, inspirant, esperanzador,
        esperanza, esperanzado, optimista, alegre, alegria, feliz, inspirador, edificante,
        luminoso, speranza, allegro e felice, gioioso, speranzoso, full of light"""),
    ("hopeful", 1.2, """bright, dawn, sunrise, morning, new beginning, sunlight, sunny, spring,
        rebirth, renewal, graduation, light at the end of the tunnel, soaring, healing, sunshine,
        festive, overcoming, dreams, salvation, relief, homecoming, wonder, wondrous, awe,
        sonnenaufgang, morgen, amanecer, aube, lever du soleil, corporate, faith, gratitude"""),
    ("hopeful", 0.6, "emotional, moving, sky, rising, heavenly, angelic, childlike, light"),
    ("mysterious", 2.0, """mysterious, mystery, mystical, mystic, enigmatic, enigma, arcane,
        cryptic, secret, secretive, otherworldly, misterioso, esoteric, unknown, puzzling,
        uncanny, suspicious, intrigue, intriguing, geheimnisvoll, mysterios, mystisch,
        ratselhaft, geheimnis, mysterieux, enigmatique, mystique, mystere, enigmatico, misterio,
        mistico, magisch"""),
    ("mysterious", 1.3, """magical, magic, enchanted, enchanting, haunting, eerie, ethereal,
        detective, noir, surreal, alien, foggy, fog, mist, misty, spellbinding, occult, ritual,
        hypnotic, curious, curiosity, ancient, cosmic, nebula, magique, magico, zauberhaft,
        fairy, fairytale, fairy tale, hidden, ruins, temple, wizard, sorcery, spell, underwater,
        cave, labyrinth, tomb, verzaubert, mythical, mythic, investigation, whispering shadows,
        ghost, ghostly, spectral, elven"""),
    ("mysterious", 0.8, """space, interstellar, sci fi, science fiction, galaxy, stars, wonder,
        wondrous, forest, woods, moon, night, midnight, dreamlike, stealth, spooky, unheimlich,
        deep space, starry, planet, arabian, oriental, egyptian, mythology, dreamy, sneaky,
        sneaking"""),
    ("romantic", 2.0, """romantic, romance, love, loving, lovers, lover, love theme, love story,
        love song, tender, tenderness, passionate, passion, amorous, amoroso, affectionate,
        sensual, wedding, bridal, kiss, sentimental, valentine, appassionato, heartfelt, in love,
        romantisch, zartlich, liebe, liebevoll, leidenschaftlich, liebesthema, hochzeit,
        romantique, amoureux, amour, tendre, passionne, sensuel, mariage, romantico, amor,
        tierno, apasionado, boda, amore, liebeslied"""),
    ("romantic", 1.0, """longing, yearning, sweet, moonlight, lovely, lush, candlelight,
        candlelit, heart, serenade, intimate, sunset, dolce, paris, lyrical, devotion"""),
)  # fmt: skip

# Intensity outright (weight 2), and what scenes and moods imply (weight 1 or so).
INTENSITY_WORDS: tuple[tuple[int, float, str], ...] = (
    (0, 2.0, """quiet, barely audible, barely there, pianissimo, pp, ppp, whisper, whispered,
        whispering, whisper quiet, hushed, faint, silent, near silence, almost silent, extremely
        soft, sotto voce, leise, flusternd, silencieux, silencioso, muy suave, tres doux, sehr
        sanft, sehr leise, tres calme, muy bajito, still und leise, very low intensity, almost
        nothing"""),
    (1, 2.0, """gentle, soft, softly, delicate, subtle, understated, restrained, sparse, minimal,
        minimalist, minimalistic, subdued, mp, mezzo piano, mezzopiano, dolce, low key, mild,
        tender, airy, light touch, low intensity, low energy, lightly, sanft, zart, doux, douce,
        doucement, delicat, leger, tendre, suave, delicado, ligero, tierno, soave, light
        percussion, feather light, tranquil, soothing, zuruckhaltend, dezent"""),
    (2, 2.0, """strong, energetic, energy, vigorous, dynamic, lively, spirited, mf, forte, mezzo
        forte, mezzoforte, punchy, medium intensity, moderate intensity, robust, kraftvoll,
        kraftig, energisch, schwungvoll, energique, dynamique, vigoureux, energico, dinamico,
        vigoroso, sturdy, mittlere intensitat"""),
    (3, 2.0, """massive, huge, thunderous, thundering, fff, ff, fortissimo, colossal, enormous,
        gigantic, gargantuan, explosive, bombastic, monumental, overwhelming, full force, full
        power, all out, full blast, full throttle, ferocious, fierce, furious, brutal, crushing,
        roaring, blaring, booming, pounding, heavy, loud, larger than life, wall of sound,
        deafening, earth shattering, earth shaking, ground shaking, titanic, mighty, towering,
        maximum intensity, high intensity, full intensity, maximum power, high energy, hard
        hitting, over the top, immense, blazing, raging, apocalyptic, fury, unrelenting, gewaltig,
        machtig, laut, wuchtig, donnernd, bombastisch, riesig, puissant, massif, enorme,
        tonitruant, fracassant, assourdissant, explosif, colossale, potente, fuerte, masivo,
        poderoso, atronador, gigantesco, colosal, imponente, volle kraft, pleine puissance, a
        toda potencia, full tutti, at full strength, maximal, ultra epic, devastating"""),
    (3, 1.6, """powerful, intense, aggressive, big, relentless, intensiv, intenso, violent,
        savage, grandiose, grandioso, climactic"""),
    (3, 2.0, "epic, epique, episch, epico, epica, blockbuster, dramatic climax, apocalypse"),
    (3, 1.0, """battle, battlefield, war, warfare, fight, combat, final boss, boss fight, boss
        battle, boss, trailer, triumphant, triumphal, victory, victorious, heroic, superhero,
        triumph, triumphantly, charge, showdown, schlacht, krieg, bataille, guerre, batalla,
        guerra, heroisch, heroique, heroico, coronation, gladiator, viking, majestic, grand, last
        stand, kampf, lucha, glorious, invasion, frantic"""),
    (2, 1.0, """driving, march, marching, chase, adventure, adventurous, action, pursuit, race,
        racing, determined, rousing, soaring, sweeping, upbeat, thrilling, exciting, dramatic,
        pirate, dramatisch, dramatique, dramatico, escape, galloping, urgent, pulsing, parade,
        bold, swashbuckling, military, abenteuer, aventure, aventura, verfolgungsjagd"""),
    (1, 1.0, """calm, calming, peaceful, serene, tranquillo, relaxing, relaxed, mellow,
        meditative, ambient, lullaby, ruhig, friedlich, entspannt, calme, paisible, tranquille,
        tranquilo, calmado, pacifico, sereno, love theme, pastoral, contemplative, meditation,
        dreamy, wiegenlied, berceuse, cancion de cuna, schlaflied, background, laid back, chill,
        restful, reflective"""),
    (1, 0.8, """sad, lonely, wistful, melancholic, melancholy, mournful, romantic, nostalgic,
        intimate, ethereal, floating, funeral, wedding, mysterious, traurig, triste, love"""),
)  # fmt: skip

# Quarter notes a minute; weight 2 for words about tempo, less for what scenes imply.
TEMPO_WORDS: tuple[tuple[float, float, str], ...] = (
    (60, 2.0, """largo, grave, larghissimo, glacial, glacially slow, crawling, funereal, at a
        crawl, snail pace, sehr langsam, tres lent, muy lento, very slow, extremely slow"""),
    (64, 2.0, "lento, larghetto, plodding, sluggish, ponderous, trudging"),
    (70, 2.0, """slow, slow tempo, slow pace, slow paced, slow moving, low tempo, downtempo, down
        tempo, adagio, langsam, schleppend, lent, lente, tempo lent, despacio, tempo lento, half
        time, half speed, half tempo, halftime, lentement, lentamente"""),
    (78, 2.0, "adagietto, unhurried, leisurely, ballad, slowish, gemachlich, gemutlich"),
    (88, 2.0, "andante, walking pace, walking tempo, strolling, stroll, gehend"),
    (94, 2.0, "andantino, ambling"),
    (100, 2.0, """mid tempo, midtempo, medium tempo, medium pace, medium paced, medium speed, mid
        paced, middle tempo, moderate tempo, moderate pace, moderate speed, moderately paced,
        moderate, mittleres tempo, mittlerem tempo, mittelschnell, tempo modere, tempo moyen,
        tempo medio, tempo moderado, a moderate, average tempo, mid speed, massig"""),
    (110, 2.0, "moderato, moderado, modere"),
    (114, 2.0, "allegretto, allegro moderato, moderately fast, medium fast, fairly quick"),
    (126, 2.0, "upbeat, animato, con moto, uptempo, up tempo, brisk, lively, con brio, bouncy"),
    (132, 2.0, """allegro, driving, propulsive, allegro con brio, vif, galloping, gallop, high
        tempo, energetic pace, spirited"""),
    (142, 2.0, """fast, fast paced, fast tempo, fast moving, quick, quick paced, speedy, rapid,
        swift, hurried, rushing, schnell, rasch, zugig, temporeich, rapide, vite, rapidement,
        rapido, veloce, veloz, double time, double speed, acelerado, high speed, hohes tempo"""),
    (152, 2.0, """racing, vivace, frantic, frenetic, breakneck, breathless, frenzied, blistering,
        furiously fast, lightning fast, whirlwind, rasend, rasant, effrene, frenetico, hectic"""),
    (164, 2.0, """presto, prestissimo, vivacissimo, very fast, extremely fast, sehr schnell, tres
        rapide, muy rapido, as fast as possible, insanely fast, molto allegro"""),
    (150, 0.8, "chase, pursuit, race, verfolgungsjagd, poursuite, persecucion, escape"),
    (140, 0.6, """battle, action, fight, combat, energetic, urgent, panic, charge, boss fight,
        boss battle, schlacht, bataille, batalla, relentless, hectic chase, high energy"""),
    (128, 0.5, "adventure, swashbuckling, pirate, exciting, thrilling, scherzo, jig, playful"),
    (112, 0.7, "march, marching, parade, military march, marsch, marche, marcha, fanfare"),
    (84, 0.4, "maestoso, majestic, stately, coronation, wedding, anthem"),
    (72, 0.7, """lullaby, meditation, meditative, relaxing, love theme, wiegenlied, berceuse,
        calm, peaceful, serene, tranquil, ambient, slow motion, solemn, elegy, lament, ruhig,
        calme, tranquilo"""),
    (62, 0.8, """funeral, funeral march, requiem, dirge, trauermarsch, marche funebre, marcha
        funebre"""),
)  # fmt: skip

FORM_WORDS: tuple[tuple[Form, float, str], ...] = (
    ("build", 2.0, """fade in, fades in, fading in, build,
        builds, building, buildup, build up, builds up, building up, built
        up, slow build, slow burn, slowly building, slowly builds, slowly build, slowly rising,
        slowly rises, slowly growing, slowly grows, slow burning, slow rise, slow crescendo,
        crescendo, crescendos, cresc, climax, climaxes, climaxing, culminating, culminates,
        culminate, culmination, rising, rises, rise, riser, growing, grows, grow, swell,
        swelling, swells, intensifying, intensifies, intensify, escalating, escalates, escalate,
        escalation, gets louder, getting louder, louder and louder, gets bigger, getting bigger,
        bigger and bigger, gets more intense, more and more intense, ever louder, gaining
        momentum, gains momentum, gathering momentum, gathers momentum, gaining power, gains
        power, gaining intensity, gains intensity, gathering force, becomes massive, becomes
        epic, grand finale, big finale, huge finale, epic finale, ramping up, ramps up, ramp up,
        ramp, accelerando, layer by layer, adding layers, layers enter one by one, one by one,
        snowballing, mounting, explodes into, erupts into, bursts into, leading to a climax,
        gradually more, peaks, peaking, steigerung, steigert, steigernd, steigernde, aufbauend,
        aufbau, baut sich auf, baut auf, anschwellend, hohepunkt, immer lauter, lauter werdend,
        wird lauter, wachst, montee en puissance, monte en puissance, montee, point culminant,
        apogee, de plus en plus fort, de plus en plus intense, va crescendo, s intensifie,
        creciente, en aumento, cada vez mas fuerte, cada vez mas intenso, culmina, culminacion,
        que crece, va creciendo, crece, sube de intensidad, hasta el climax"""),
    ("build", 1.0, """gradually, progressive, uplift, soaring finale, finale, anticipation,
        ascending"""),
    ("fade", 2.0, """fade, fades, fading, fade out, fades out, fading out, fade away, fades away,
        fading away, fadeout, slowly fading, slowly fades, slowly fade, slow fade, calm down,
        calms down, calming down, calms, dies away, die away, dying away, dies down, die down,
        dying down, dies out, dying out, diminuendo, decrescendo, morendo, smorzando, perdendosi,
        calando, winding down, winds down, wind down, dissolves, dissolve, dissolving, ebbs,
        ebbing, ebb away, ebbs away, softens, softening, getting softer, gets softer, getting
        quieter, gets quieter, becomes quieter, becoming quieter, quieter and quieter, softer and
        softer, settles, settling, settles down, settling down, slows down, slowing down, trails
        off, trailing off, tapering, tapers off, tapering off, recedes, receding, subsides,
        subsiding, descends into silence, into silence, drifts away, drifting away, drifts off,
        vanishes, vanishing, disappears, disappearing, evaporates, slowly disappears, peters out,
        quiets down, quiet ending, soft ending, gentle ending, ends quietly, ends softly, ends
        gently, ending softly, ending quietly, de escalates, deflates, ritardando, rallentando,
        breaks down to, comes to rest, loses energy, losing energy, gradually quieter, gradually
        softer, peaceful ending, calm ending, ausklingend, ausklingen, klingt aus, verklingt,
        verklingend, verklingen, ausblenden, immer leiser, leiser werdend, wird leiser, wird
        ruhiger, beruhigt sich, abklingend, klingt ab, s estompe, s eteint, se calme, s apaise,
        de plus en plus doux, de plus en plus calme, fondu, en fondu, disparait, se desvanece,
        desvanece, desvaneciendo, se apaga, se calma, cada vez mas suave, cada vez mas tranquilo,
        desvanecimiento, disminuyendo, apagandose, fin en douceur"""),
    ("hit", 2.0, """hits, hit, stab, stabs, stop start, start stop, stop and start, stop and go,
        stops and starts, starts and stops, stinger, stingers, impact, impacts, dramatic pauses,
        dramatic pause, pauses, sudden silence, sudden silences, moments of silence, sudden
        stops, sudden stop, abrupt stops, abrupt silence, sudden strikes, strikes, accents,
        punctuated, punctuating, staccato blasts, blasts, jump scare, jump scares, silence
        between, silences between, silence then, hard cuts, cuts, slams, slamming, sforzando,
        sfz, sudden bursts, breaks of silence, gaps of silence, silences, downbeat hits, tutti
        hits, trailer hits, orchestral hits, schlage, akzente, plotzliche stille, pausen und
        schlage, mit pausen, generalpause, coups, silences soudains, silence soudain, arrets
        soudains, golpes, silencios, pausas, paradas, silencio repentino, golpes secos, punches,
        whack, whacks, stop time"""),
    ("hit", 0.7, """braam, braams, bwaam, bwam, bram, staccato, percussive, punchy, sudden,
        blast, strike"""),
    ("steady", 1.6, """steady, steadily, constant, constantly, loop, loops, looping, loopable,
        looped, seamless, unchanging, even, consistent, consistently, continuous, static,
        uniform, unvarying, monotonous, hypnotic, relentless, same level, same intensity, same
        energy, ongoing, repeating, repetitive, never ending, endless, perpetual, unwavering,
        stays the same, remains the same, throughout, flat dynamics, no changes, without changes,
        background, holding, sustained, level, gleichmassig, gleichbleibend, konstant, stetig,
        durchgehend, endlosschleife, schleife, regulier, constante, stable, en boucle, boucle,
        uniforme, continu, continuo, estable, bucle, en bucle, sin cambios, ohne anderung,
        regular, perpetuum mobile"""),
    ("steady", 0.7, "ostinato, drone, pulse, pulsing, groove, motorik"),
)  # fmt: skip

METER_WORDS: tuple[tuple[int, float, str], ...] = (
    (3, 2.0, """waltz, waltzing, waltzes, waltz time, minuet, menuet, mazurka, landler,
        polonaise, sarabande, triple meter, triple metre, triple time, three four, three quarter,
        three quarter time, three four time, three beats, in three, three time, walzer,
        walzertakt, dreivierteltakt, dreiertakt, valse, trois temps, ternaire, mesure a trois
        temps, vals, valzer, tres tiempos, compas ternario, tres por cuatro, waltz like"""),
    (6, 2.0, """barcarolle, siciliana, siciliano, jig, gigue, six eight, six eight time, compound
        meter, compound metre, compound time, swaying six, sechsachteltakt, six huit, seis por
        ocho, sei ottavi"""),
    (4, 2.0, """common time, four four, four four time, four on the floor, four beats, quadruple
        meter, quadruple time, in four, cut time, viervierteltakt, vierertakt, quatre temps,
        cuatro tiempos, cuatro por cuatro, compasillo, straight four, duple meter"""),
    (4, 1.0, """march, marching, militarymarch, parade, marsch, marche, marcha, funeral march,
        trauermarsch"""),
)  # fmt: skip
