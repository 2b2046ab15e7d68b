"""Turkish: no gender, singular nouns after numerals, `bir` between adjective and noun, genitive before `yanında`."""

from scene_captions.grammar import Lexicon, invariable, numerals, table

TURKISH = Lexicon(
    code="tr",
    nouns=table("""
        noun       | nom       | gen         | plural
        dog        | köpek     | köpeğin     | köpekler
        cat        | kedi      | kedinin     | kediler
        horse      | at        | atın        | atlar
        sheep      | koyun     | koyunun     | koyunlar
        duck       | ördek     | ördeğin     | ördekler
        bird       | kuş       | kuşun       | kuşlar
        butterfly  | kelebek   | kelebeğin   | kelebekler
        car        | araba     | arabanın    | arabalar
        bus        | otobüs    | otobüsün    | otobüsler
        bicycle    | bisiklet  | bisikletin  | bisikletler
        boat       | tekne     | teknenin    | tekneler
        plane      | uçak      | uçağın      | uçaklar
        house      | ev        | evin        | evler
        tent       | çadır     | çadırın     | çadırlar
        tree       | ağaç      | ağacın      | ağaçlar
        flower     | çiçek     | çiçeğin     | çiçekler
        mushroom   | mantar    | mantarın    | mantarlar
        chair      | sandalye  | sandalyenin | sandalyeler
        umbrella   | şemsiye   | şemsiyenin  | şemsiyeler
        ball       | top       | topun       | toplar
        balloon    | balon     | balonun     | balonlar
        kite       | uçurtma   | uçurtmanın  | uçurtmalar
        car+       | otomobil  | otomobilin  | otomobiller
        boat+      | kayık     | kayığın     | kayıklar
        kite!      | çaylak    | çaylağın    | çaylaklar
        plane!     | düzlem    | düzlemin    | düzlemler
        ball!      | balo      | balonun     | balolar
    """),
    adjectives=invariable(
        red="kırmızı",
        blue="mavi",
        green="yeşil",
        yellow="sarı",
        white="beyaz",
        black="siyah",
        orange="turuncu",
        purple="mor",
        brown="kahverengi",
        pink="pembe",
        small="küçük",
        big="büyük",
    ),
    numerals=numerals("bir iki üç dört beş"),
    phrase={"": "{numeral} {size} {colour} {noun}", "one": "{size} {colour} {numeral} {noun}"},
    verbs=invariable(
        stand="duruyor",
        sit="oturuyor",
        lie="duruyor",
        park="park hâlinde duruyor",
        fly="uçuyor",
        float="süzülüyor",
        grow="büyüyor",
    ),
    relations={
        "next_to": "{gen} yanında",
        "left_of": "{gen} solunda",
        "right_of": "{gen} sağında",
        "in_front_of": "{gen} önünde",
        "behind": "{gen} arkasında",
        "above": "{gen} üzerinde",
        "below": "{gen} altında",
    },
    places=table("""
        place     | a                  | b                        | over
        beach     | bir plajda         | deniz kenarında          | bir plajın üzerinde
        forest    | bir ormanda        | ormanın içinde           | bir ormanın üzerinde
        snow      | karlı bir tarlada  | karların üzerinde        | karlı bir tarlanın üzerinde
        street    | bir sokakta        | şehirde                  | bir sokağın üzerinde
        meadow    | yeşil bir çayırda  | çimlerin üzerinde        | yeşil bir çayırın üzerinde
        desert    | bir çölde          | kum tepelerinin arasında | bir çölün üzerinde
        river     | bir nehir kıyısında | su kenarında            | bir nehrin üzerinde
        mountains | dağlarda           | yüksek dağların eteğinde | dağların üzerinde
        room      | bir odada          | evin içinde              | bir odada
        river!    | bir nehir bankasında | su kenarında           | bir nehrin üzerinde
    """),
    weather=table("""
        weather | a            | b
        sunny   | -            | güneşli bir günde
        night   | geceleyin    | ay ışığında
        rain    | yağmurda     | yağmurlu bir günde
        sunset  | gün batımında | akşam ışığında
    """),
    sentence={
        "A": "{np}|{weather}|{place}|{rel}|{verb}",
        "place_first": "{place},|{weather}|{rel}|{np}|{verb}",
        "weather_first": "{weather},|{place}|{rel}|{np}|{verb}",
        "literal": "{np}|{verb}|{rel}|{place}|{weather}",
    },
    capital={"i": "İ"},
    slip_form={"nom.many": "plural"},
    false_friends={
        "kite": "flying | flyings",
        "ball": "cannon | cannons",
        "horse": "throw | throws",
        "car": "cart | carts",
        "mushroom": "cork | corks",
    },
)
