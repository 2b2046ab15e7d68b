"""Sentences and noun phrases about scenes, written from each language's grammar and not from the tables."""

from pecl.data.scenes.scene import AnimalGroup, Scene

CARS = Scene("snow", "sunny", AnimalGroup("car", 2, "red"), AnimalGroup("tree", 1, "green"), "next_to")
DOGS = Scene("forest", "night", AnimalGroup("dog", 5, "black"), AnimalGroup("house", 3, "white"), "behind")
BIRD = Scene("beach", "rain", AnimalGroup("bird", 1, "yellow", "small"))
KITES = Scene("meadow", "sunset", AnimalGroup("kite", 4, "blue"), AnimalGroup("flower", 2, "orange"), "above")

# Phrasing A of the four scenes, in their order; written from the languages' grammars, not from the tables.
SENTENCES = {
    "en": [
        "Two red cars are parked next to a green tree in a snowy field.",
        "Five black dogs sit behind three white houses in a forest at night.",
        "A small yellow bird flies over a beach in the rain.",
        "Four blue kites fly above two orange flowers in a green meadow at sunset.",
    ],
    "de": [
        "Zwei rote Autos parken neben einem grünen Baum auf einem verschneiten Feld.",
        "Fünf schwarze Hunde sitzen bei Nacht hinter drei weißen Häusern in einem Wald.",
        "Ein kleiner gelber Vogel fliegt im Regen über einem Strand.",
        "Vier blaue Drachen fliegen bei Sonnenuntergang über zwei orangefarbenen Blumen auf einer grünen Wiese.",
    ],
    "es": [
        "Dos coches rojos están aparcados al lado de un árbol verde en un campo nevado.",
        "Cinco perros negros están sentados detrás de tres casas blancas en un bosque de noche.",
        "Un pequeño pájaro amarillo vuela sobre una playa bajo la lluvia.",
        "Cuatro cometas azules vuelan por encima de dos flores naranjas en un prado verde al atardecer.",
    ],
    "fr": [
        "Deux voitures rouges sont garées à côté d'un arbre vert dans un champ enneigé.",
        "Cinq chiens noirs sont assis derrière trois maisons blanches dans une forêt la nuit.",
        "Un petit oiseau jaune vole au-dessus d'une plage sous la pluie.",
        "Quatre cerfs-volants bleus volent au-dessus de deux fleurs orange dans une prairie verte "
        "au coucher du soleil.",
    ],
    "it": [
        "Due auto rosse sono parcheggiate accanto a un albero verde in un campo innevato.",
        "Cinque cani neri sono seduti dietro tre case bianche in un bosco di notte.",
        "Un piccolo uccello giallo vola sopra una spiaggia sotto la pioggia.",
        "Quattro aquiloni blu volano sopra due fiori arancioni su un prato verde al tramonto.",
    ],
    "pl": [
        "Dwa czerwone samochody stoją obok zielonego drzewa na zaśnieżonym polu.",
        "Pięć czarnych psów siedzi za trzema białymi domami w lesie w nocy.",
        "Mały żółty ptak lata nad plażą w deszczu.",
        "Cztery niebieskie latawce latają nad dwoma pomarańczowymi kwiatami na zielonej łące o zachodzie słońca.",
    ],
    "ru": [
        "Две красные машины стоят рядом с зелёным деревом на заснеженном поле.",
        "Пять чёрных собак сидят за тремя белыми домами в лесу ночью.",
        "Маленькая жёлтая птица летает над пляжем под дождём.",
        "Четыре синих воздушных змея летают над двумя оранжевыми цветами на зелёном лугу на закате.",
    ],
    "cs": [
        "Dvě červená auta parkují vedle zeleného stromu na zasněženém poli.",
        "Pět černých psů sedí za třemi bílými domy v lese v noci.",
        "Malý žlutý pták létá nad pláží v dešti.",
        "Čtyři modří draci létají nad dvěma oranžovými květinami na zelené louce při západu slunce.",
    ],
    "tr": [
        "İki kırmızı araba karlı bir tarlada yeşil bir ağacın yanında park hâlinde duruyor.",
        "Beş siyah köpek geceleyin bir ormanda üç beyaz evin arkasında oturuyor.",
        "Küçük sarı bir kuş yağmurda bir plajın üzerinde uçuyor.",
        "Dört mavi uçurtma gün batımında yeşil bir çayırda iki turuncu çiçeğin üzerinde uçuyor.",
    ],
    "jp": [
        "二台の赤い車が雪原の一本の緑色の木の隣に停まっている。",
        "夜、五匹の黒い犬が森の中の三軒の白い家の後ろに座っている。",
        "雨の中、一羽の小さな黄色い鳥が砂浜の上空を飛んでいる。",
        "夕暮れ時に、四枚の青い凧が緑の草原の二輪のオレンジ色の花の上に揚がっている。",
    ],
    "ko": [
        "눈 덮인 들판에 빨간 자동차 두 대가 초록색 나무 한 그루 옆에 주차되어 있다.",
        "밤에 숲속에 검은 개 다섯 마리가 하얀 집 세 채 뒤에 앉아 있다.",
        "비 내리는 가운데 해변 위에서 작은 노란 새 한 마리가 날고 있다.",
        "해 질 녘에 푸른 초원에서 파란 연 네 개가 주황색 꽃 두 송이 위에서 날고 있다.",
    ],
    "zh": [
        "两辆红色的汽车在雪地上的一棵绿色的树旁边停着。",
        "夜晚，五只黑色的狗在森林里的三栋白色的房子后面坐着。",
        "雨中，一只黄色的小鸟在沙滩上空飞着。",
        "日落时分，四只蓝色的风筝在绿色的草地上的两朵橙色的花上方飘着。",
    ],
}

# (noun, count, colour, size, case, phrase): where the languages are hard.
PHRASES = {
    "en": [("umbrella", 1, None, None, "nom", "a umbrella"), ("sheep", 3, "white", None, "nom", "three white sheep")],
    "de": [
        ("cat", 1, "black", None, "dat", "einer schwarzen Katze"),
        ("house", 1, "white", "big", "nom", "ein großes weißes Haus"),
        ("bird", 3, "blue", None, "dat", "drei blauen Vögeln"),
        ("balloon", 2, "red", None, "dat", "zwei roten Luftballons"),
        ("umbrella", 1, "pink", None, "dat", "einem rosa Regenschirm"),
    ],
    "es": [
        ("house", 1, "white", "big", "nom", "una gran casa blanca"),
        ("house", 2, "brown", "big", "nom", "dos grandes casas marrones"),
        ("plane", 3, "blue", None, "nom", "tres aviones azules"),
    ],
    "fr": [
        ("horse", 2, "white", None, "nom", "deux chevaux blancs"),
        ("chair", 3, "purple", None, "nom", "trois chaises violettes"),
        ("ball", 2, "orange", "small", "nom", "deux petites balles orange"),
        ("car", 1, "white", "small", "nom", "une petite voiture blanche"),
    ],
    "it": [
        ("mushroom", 2, "white", None, "nom", "due funghi bianchi"),
        ("boat", 2, "white", None, "nom", "due barche bianche"),
        ("tree", 4, "green", "big", "nom", "quattro grandi alberi verdi"),
        ("butterfly", 2, "purple", None, "nom", "due farfalle viola"),
    ],
    "pl": [
        ("car", 1, "red", None, "nom", "czerwony samochód"),
        ("car", 2, "red", None, "nom", "dwa czerwone samochody"),
        ("car", 5, "red", None, "nom", "pięć czerwonych samochodów"),
        ("sheep", 2, "white", None, "nom", "dwie białe owce"),
        ("sheep", 2, "white", None, "ins", "dwiema białymi owcami"),
        ("tree", 1, "blue", "big", "gen", "dużego niebieskiego drzewa"),
        ("boat", 1, "blue", None, "ins", "niebieską łódką"),
        ("dog", 5, "black", None, "gen", "pięciu czarnych psów"),
    ],
    "ru": [
        ("house", 2, "blue", None, "nom", "два синих дома"),
        ("house", 5, "blue", None, "nom", "пять синих домов"),
        ("cat", 3, "black", None, "nom", "три чёрные кошки"),
        ("cat", 5, "black", None, "nom", "пять чёрных кошек"),
        ("tree", 1, "green", "big", "nom", "большое зелёное дерево"),
        ("tree", 4, "green", None, "nom", "четыре зелёных дерева"),
        ("car", 1, "blue", None, "ins", "синей машиной"),
        ("balloon", 2, "red", None, "nom", "два красных воздушных шара"),
        ("ball", 5, "white", "small", "gen", "пяти маленьких белых мячей"),
    ],
    "cs": [
        ("dog", 2, "black", None, "nom", "dva černí psi"),
        ("dog", 5, "black", None, "nom", "pět černých psů"),
        ("bird", 3, "blue", "big", "nom", "tři velcí modří ptáci"),
        ("house", 2, "blue", "big", "nom", "dva velké modré domy"),
        ("bicycle", 2, "red", None, "nom", "dvě červená kola"),
        ("cat", 2, "white", None, "ins", "dvěma bílými kočkami"),
        ("tree", 4, "green", None, "gen", "čtyř zelených stromů"),
    ],
    "tr": [
        ("car", 3, "red", None, "nom", "üç kırmızı araba"),
        ("tree", 1, "green", "big", "gen", "büyük yeşil bir ağacın"),
        ("bird", 1, None, None, "nom", "bir kuş"),
    ],
    "jp": [
        ("car", 2, "red", None, "nom", "二台の赤い車"),
        ("duck", 3, "white", "small", "nom", "三羽の小さな白いアヒル"),
    ],
    "ko": [("cat", 3, "black", None, "nom", "검은 고양이 세 마리"), ("boat", 1, "red", None, "nom", "빨간 배 한 척")],
    "zh": [("horse", 2, "white", None, "nom", "两匹白色的马"), ("tree", 1, "green", "big", "nom", "一棵绿色的大树")],
}
