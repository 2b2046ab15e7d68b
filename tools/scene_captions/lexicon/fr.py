"""French: two genders, colours behind the noun, participles that agree, elision of `de`."""

from scene_captions.grammar import Lexicon, inflect, table

_PARADIGMS = {
    "regular": {"sg.m": "", "sg.f": "e", "pl.m": "s", "pl.f": "es"},
    "white": {"sg.m": "", "sg.f": "he", "pl.m": "s", "pl.f": "hes"},
    "purple": {"sg.m": "", "sg.f": "te", "pl.m": "s", "pl.f": "tes"},
    "one gender": {"sg": "", "pl": "s"},
    "none": {"": ""},
}

FRENCH = Lexicon(
    code="fr",
    nouns=table("""
        noun       | gender | sg                  | pl
        dog        | m      | chien               | chiens
        cat        | m      | chat                | chats
        horse      | m      | cheval              | chevaux
        sheep      | m      | mouton              | moutons
        duck       | m      | canard              | canards
        bird       | m      | oiseau              | oiseaux
        butterfly  | m      | papillon            | papillons
        car        | f      | voiture             | voitures
        bus        | m      | bus                 | bus
        bicycle    | m      | vélo                | vélos
        boat       | m      | bateau              | bateaux
        plane      | m      | avion               | avions
        house      | f      | maison              | maisons
        tent       | f      | tente               | tentes
        tree       | m      | arbre               | arbres
        flower     | f      | fleur               | fleurs
        mushroom   | m      | champignon          | champignons
        chair      | f      | chaise              | chaises
        umbrella   | m      | parapluie           | parapluies
        ball       | f      | balle               | balles
        balloon    | m      | ballon de baudruche | ballons de baudruche
        kite       | m      | cerf-volant         | cerfs-volants
        bicycle+   | f      | bicyclette          | bicyclettes
        boat+      | f      | barque              | barques
        car+       | f      | automobile          | automobiles
        bus+       | m      | autobus             | autobus
        kite!      | m      | milan               | milans
        plane!     | m      | plan                | plans
        ball!      | m      | bal                 | bals
    """),
    adjectives=inflect(
        """
        red    | one gender | rouge
        blue   | regular    | bleu
        green  | regular    | vert
        yellow | one gender | jaune
        white  | white      | blanc
        black  | regular    | noir
        orange | none       | orange
        purple | purple     | violet
        brown  | none       | marron
        pink   | one gender | rose
        small  | regular    | petit
        big    | regular    | grand
        """,
        _PARADIGMS,
    ),
    numerals={1: {"nom.f": "une", "": "un"}, 2: {"": "deux"}, 3: {"": "trois"}, 4: {"": "quatre"}, 5: {"": "cinq"}},
    noun_forms={"nom.one": "sg", "nom.many": "pl"},
    phrase={"": "{numeral} {size} {noun} {colour}", "literal": "{numeral} {size} {colour} {noun}"},
    verbs=table("""
        verb   | sg.m      | sg.f       | pl.m        | pl.f
        stand  | se trouve | se trouve  | se trouvent | se trouvent
        sit    | est assis | est assise | sont assis  | sont assises
        lie    | est posé  | est posée  | sont posés  | sont posées
        park   | est garé  | est garée  | sont garés  | sont garées
        fly    | vole      | vole       | volent      | volent
        float  | flotte    | flotte     | flottent    | flottent
        grow   | pousse    | pousse     | poussent    | poussent
        exist  | il y a    | il y a     | il y a      | il y a
    """),
    relations={
        "next_to": "à côté de {nom}",
        "left_of": "à gauche de {nom}",
        "right_of": "à droite de {nom}",
        "in_front_of": "devant {nom}",
        "behind": "derrière {nom}",
        "above": "au-dessus de {nom}",
        "below": "sous {nom}",
    },
    places=table("""
        place     | a                              | b                             | over
        beach     | sur une plage                  | au bord de la mer             | au-dessus d'une plage
        forest    | dans une forêt                 | dans les bois                 | au-dessus d'une forêt
        snow      | dans un champ enneigé          | dans la neige                 | au-dessus d'un champ enneigé
        street    | dans une rue                   | en ville                      | au-dessus d'une rue
        meadow    | dans une prairie verte         | sur l'herbe                   | au-dessus d'une prairie verte
        desert    | dans un désert                 | au milieu des dunes           | au-dessus d'un désert
        river     | sur la rive d'une rivière      | au bord de l'eau              | au-dessus d'une rivière
        mountains | dans les montagnes             | au pied de hautes montagnes   | au-dessus des montagnes
        room      | dans une pièce                 | à l'intérieur                 | dans une pièce
        river!    | sur une banque de rivière      | au bord de l'eau              | au-dessus d'une rivière
    """),
    weather=table("""
        weather | a                   | b
        sunny   | -                   | par une journée ensoleillée
        night   | la nuit             | au clair de lune
        rain    | sous la pluie       | par un jour de pluie
        sunset  | au coucher du soleil | dans la lumière du soir
    """),
    sentence={
        "A": "{np}|{verb}|{rel}|{place}|{weather}",
        "place_first": "{place},|{there}|{np}|{rel}|{weather}",
        "weather_first": "{weather},|{there}|{np}|{rel}|{place}",
    },
    sandhi=((r"\bde (?=une?\b)", "d'"),),
    slip_gender={"m": "f", "f": "m"},
    false_friends={
        "kite": "stag beetle | stag beetles",
        "bus": "coach | coaches",
        "boat": "ship | ships",
        "ball": "bullet | bullets",
        "balloon": "football | footballs",
    },
)
