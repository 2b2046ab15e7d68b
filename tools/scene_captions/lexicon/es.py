"""Spanish: two genders, colours behind the noun, participles that agree, `gran` before a singular noun."""

from scene_captions.grammar import Lexicon, inflect, table

_PARADIGMS = {
    "o/a": {"sg.m": "o", "sg.f": "a", "pl.m": "os", "pl.f": "as"},
    "+s": {"sg": "", "pl": "s"},
    "+es": {"sg": "", "pl": "es"},
    "brown": {"sg": "ón", "pl": "ones"},
    "big": {"sg": "", "pl": "des"},
}

SPANISH = Lexicon(
    code="es",
    nouns=table("""
        noun       | gender | sg                | pl
        dog        | m      | perro             | perros
        cat        | m      | gato              | gatos
        horse      | m      | caballo           | caballos
        sheep      | f      | oveja             | ovejas
        duck       | m      | pato              | patos
        bird       | m      | pájaro            | pájaros
        butterfly  | f      | mariposa          | mariposas
        car        | m      | coche             | coches
        bus        | m      | autobús           | autobuses
        bicycle    | f      | bicicleta         | bicicletas
        boat       | f      | barca             | barcas
        plane      | m      | avión             | aviones
        house      | f      | casa              | casas
        tent       | f      | tienda de campaña | tiendas de campaña
        tree       | m      | árbol             | árboles
        flower     | f      | flor              | flores
        mushroom   | f      | seta              | setas
        chair      | f      | silla             | sillas
        umbrella   | m      | paraguas          | paraguas
        ball       | f      | pelota            | pelotas
        balloon    | m      | globo             | globos
        kite       | f      | cometa            | cometas
        mushroom+  | m      | hongo             | hongos
        bicycle+   | f      | bici              | bicis
        boat+      | m      | bote              | botes
        car+       | m      | automóvil         | automóviles
        kite!      | m      | milano            | milanos
        plane!     | m      | plano             | planos
        ball!      | m      | baile             | bailes
    """),
    adjectives=inflect(
        """
        red    | o/a   | roj
        blue   | +es   | azul
        green  | +s    | verde
        yellow | o/a   | amarill
        white  | o/a   | blanc
        black  | o/a   | negr
        orange | +s    | naranja
        purple | o/a   | morad
        brown  | brown | marr
        pink   | +s    | rosa
        small  | o/a   | pequeñ
        big    | big   | gran
        """,
        _PARADIGMS,
    ),
    numerals={1: {"nom.f": "una", "": "un"}, 2: {"": "dos"}, 3: {"": "tres"}, 4: {"": "cuatro"}, 5: {"": "cinco"}},
    noun_forms={"nom.one": "sg", "nom.many": "pl"},
    phrase={"": "{numeral} {size} {noun} {colour}", "literal": "{numeral} {size} {colour} {noun}"},
    verbs=table("""
        verb   | sg.m          | sg.f          | pl.m            | pl.f
        stand  | se encuentra  | se encuentra  | se encuentran   | se encuentran
        sit    | está sentado  | está sentada  | están sentados  | están sentadas
        lie    | descansa      | descansa      | descansan       | descansan
        park   | está aparcado | está aparcada | están aparcados | están aparcadas
        fly    | vuela         | vuela         | vuelan          | vuelan
        float  | flota         | flota         | flotan          | flotan
        grow   | crece         | crece         | crecen          | crecen
        exist  | hay           | hay           | hay             | hay
    """),
    relations={
        "next_to": "al lado de {nom}",
        "left_of": "a la izquierda de {nom}",
        "right_of": "a la derecha de {nom}",
        "in_front_of": "delante de {nom}",
        "behind": "detrás de {nom}",
        "above": "por encima de {nom}",
        "below": "debajo de {nom}",
    },
    places=table("""
        place     | a                        | b                             | over
        beach     | en una playa             | junto al mar                  | sobre una playa
        forest    | en un bosque             | en medio del bosque           | sobre un bosque
        snow      | en un campo nevado       | en la nieve                   | sobre un campo nevado
        street    | en una calle             | en la ciudad                  | sobre una calle
        meadow    | en un prado verde        | sobre la hierba               | sobre un prado verde
        desert    | en un desierto           | entre dunas de arena          | sobre un desierto
        river     | en la orilla de un río   | junto al agua                 | sobre un río
        mountains | en las montañas          | al pie de unas montañas altas | sobre las montañas
        room      | en una habitación        | dentro de una casa            | en una habitación
        river!    | en un banco de río       | junto al agua                 | sobre un río
    """),
    weather=table("""
        weather | a                | b
        sunny   | -                | en un día soleado
        night   | de noche         | a la luz de la luna
        rain    | bajo la lluvia   | en un día lluvioso
        sunset  | al atardecer     | durante la puesta de sol
    """),
    sentence={
        "A": "{np}|{verb}|{rel}|{place}|{weather}",
        "place_first": "{place}|{there}|{np}|{rel}|{weather}",
        "weather_first": "{weather},|{there}|{np}|{rel}|{place}",
    },
    slip_gender={"m": "f", "f": "m"},
    false_friends={
        "kite": "comet | comets",
        "balloon": "globe | globes",
        "tent": "country store | country stores",
        "umbrella": "stop water | stop waters",
        "mushroom": "fungus | fungi",
    },
)
