"""English."""

from scene_captions.grammar import Lexicon, invariable, numerals, table

ENGLISH = Lexicon(
    code="en",
    nouns=table("""
        noun       | sg          | pl
        dog        | dog         | dogs
        cat        | cat         | cats
        horse      | horse       | horses
        sheep      | sheep       | sheep
        duck       | duck        | ducks
        bird       | bird        | birds
        butterfly  | butterfly   | butterflies
        car        | car         | cars
        bus        | bus         | buses
        bicycle    | bicycle     | bicycles
        boat       | boat        | boats
        plane      | plane       | planes
        house      | house       | houses
        tent       | tent        | tents
        tree       | tree        | trees
        flower     | flower      | flowers
        mushroom   | mushroom    | mushrooms
        chair      | chair       | chairs
        umbrella   | umbrella    | umbrellas
        ball       | ball        | balls
        balloon    | balloon     | balloons
        kite       | kite        | kites
        bicycle+   | bike        | bikes
        plane+     | airplane    | airplanes
        car+       | automobile  | automobiles
        house+     | cottage     | cottages
        mushroom+  | toadstool   | toadstools
        boat+      | rowboat     | rowboats
        ball+      | beach ball  | beach balls
    """),
    adjectives=invariable(
        red="red",
        blue="blue",
        green="green",
        yellow="yellow",
        white="white",
        black="black",
        orange="orange",
        purple="purple",
        brown="brown",
        pink="pink",
        small="small",
        big="big",
    ),
    numerals=numerals("a two three four five"),
    noun_forms={"nom.one": "sg", "nom.many": "pl"},
    phrase={"": "{numeral} {size} {colour} {noun}"},
    verbs=table("""
        verb   | sg        | pl
        stand  | stands    | stand
        sit    | sits      | sit
        lie    | lies      | lie
        park   | is parked | are parked
        fly    | flies     | fly
        float  | floats    | float
        grow   | grows     | grow
        exist  | there is  | there are
    """),
    relations={
        "next_to": "next to {nom}",
        "left_of": "to the left of {nom}",
        "right_of": "to the right of {nom}",
        "in_front_of": "in front of {nom}",
        "behind": "behind {nom}",
        "above": "above {nom}",
        "below": "under {nom}",
    },
    places=table("""
        place     | a                  | b                         | over
        beach     | on a beach         | by the sea                | over a beach
        forest    | in a forest        | in the woods              | over a forest
        snow      | in a snowy field   | in the snow               | over a snowy field
        street    | on a street        | in the city               | over a street
        meadow    | in a green meadow  | on the grass              | over a green meadow
        desert    | in a desert        | among sand dunes          | over a desert
        river     | on a river bank    | by the water              | over a river
        mountains | in the mountains   | among high peaks          | over the mountains
        room      | in a room          | indoors                   | in a room
        river!    | on a river bench   | at the water's border     | over a river
    """),
    weather=table("""
        weather | a           | b
        sunny   | -           | on a sunny day
        night   | at night    | in the moonlight
        rain    | in the rain | on a rainy day
        sunset  | at sunset   | in the evening light
    """),
    sentence={
        "A": "{np}|{verb}|{rel}|{place}|{weather}",
        "place_first": "{place}|{there}|{np}|{rel}|{weather}",
        "weather_first": "{weather},|{there}|{np}|{rel}|{place}",
    },
    sandhi=((r"\ba (?=[aeiou])", "an "),),
)
