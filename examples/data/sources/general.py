"""Ordinary questions with short answers, so that a tuned model stays a helpful one."""

FACTS = (
    (
        "What is the capital of {}?",
        "The capital of {} is {}.",
        (
            ("France", "Paris"),
            ("Japan", "Tokyo"),
            ("Italy", "Rome"),
            ("Canada", "Ottawa"),
            ("Egypt", "Cairo"),
            ("Spain", "Madrid"),
            ("Kenya", "Nairobi"),
            ("Peru", "Lima"),
            ("Norway", "Oslo"),
            ("Greece", "Athens"),
            ("Poland", "Warsaw"),
            ("Cuba", "Havana"),
            ("Austria", "Vienna"),
            ("Portugal", "Lisbon"),
            ("Ireland", "Dublin"),
            ("Chile", "Santiago"),
            ("Hungary", "Budapest"),
            ("Thailand", "Bangkok"),
            ("Finland", "Helsinki"),
            ("Morocco", "Rabat"),
            ("Denmark", "Copenhagen"),
            ("Ghana", "Accra"),
        ),
    ),
    (
        "What color is {}?",
        "{} is usually {}.",
        (
            ("a banana", "yellow"),
            ("grass", "green"),
            ("snow", "white"),
            ("a ripe tomato", "red"),
            ("the clear sky", "blue"),
            ("coal", "black"),
            ("an orange", "orange"),
        ),
    ),
    (
        "What is the opposite of {}?",
        "The opposite of {} is {}.",
        (
            ("hot", "cold"),
            ("early", "late"),
            ("full", "empty"),
            ("loud", "quiet"),
            ("wide", "narrow"),
            ("brave", "afraid"),
            ("heavy", "light"),
            ("young", "old"),
            ("rough", "smooth"),
            ("wet", "dry"),
            ("open", "closed"),
            ("strong", "weak"),
            ("near", "far"),
            ("cheap", "expensive"),
        ),
    ),
    (
        "Which animal {}?",
        "The animal that {} is the {}.",
        (
            ("gives us milk", "cow"),
            ("lays eggs and says cluck", "hen"),
            ("builds dams", "beaver"),
            ("has a trunk", "elephant"),
            ("makes honey", "bee"),
            ("carries its house on its back", "snail"),
            ("has black and white stripes", "zebra"),
        ),
    ),
    (
        "Give me another word for {}.",
        "Another word for {} is {}.",
        (
            ("happy", "glad"),
            ("fast", "quick"),
            ("big", "large"),
            ("smart", "clever"),
            ("tired", "weary"),
            ("begin", "start"),
            ("odd", "strange"),
            ("angry", "furious"),
            ("quiet", "silent"),
            ("rich", "wealthy"),
            ("pretty", "beautiful"),
            ("strange", "unusual"),
            ("help", "assist"),
            ("end", "finish"),
        ),
    ),
    (
        "What do you use {} for?",
        "You use {} to {}.",
        (
            ("a hammer", "drive nails"),
            ("a kettle", "boil water"),
            ("a ruler", "measure lengths"),
            ("an umbrella", "stay dry in the rain"),
            ("a broom", "sweep the floor"),
            ("a map", "find your way"),
            ("a thermometer", "measure temperature"),
            ("a calendar", "keep track of dates"),
        ),
    ),
    (
        "In which season {}?",
        "{} in {}.",
        (
            ("do leaves fall", "Leaves fall", "autumn"),
            ("do most flowers bloom", "Most flowers bloom", "spring"),
            ("does it snow", "It snows mostly", "winter"),
            ("are the days longest", "The days are longest", "summer"),
        ),
    ),
    (
        "How many {}?",
        "There are {}.",
        (
            ("days are in a week", "seven days in a week"),
            ("months are in a year", "twelve months in a year"),
            ("minutes are in an hour", "sixty minutes in an hour"),
            ("legs does a spider have", "eight legs on a spider"),
            ("players are on a soccer team", "eleven players on a soccer team"),
            (
                "letters are in the English alphabet",
                "twenty-six letters in the English alphabet",
            ),
            ("hours are in a day", "twenty-four hours in a day"),
            ("sides does a triangle have", "three sides to a triangle"),
        ),
    ),
)

PAIRS = (
    (
        "Suggest a name for a small bakery.",
        "You could call it The Morning Loaf: it is warm, short and easy to remember.",
    ),
    (
        "Write a birthday wish for my aunt.",
        "Happy birthday, dear aunt! May your year be full of laughter, health and good company.",
    ),
    (
        "How long should I boil an egg?",
        "Boil it about six minutes for a soft yolk and ten minutes for a firm one.",
    ),
    (
        "What can I cook with rice and eggs?",
        "Try egg fried rice: cook the rice, scramble the eggs, and fry both with soy sauce and peas.",
    ),
    (
        "How do plants make food?",
        "Plants use sunlight, water and carbon dioxide to make sugar; this is called photosynthesis.",
    ),
    (
        "Why is the sea salty?",
        "Rivers carry dissolved salts from rocks into the sea, where they stay when the water evaporates.",
    ),
    (
        "Give me a tip for sleeping better.",
        "Go to bed at the same time every day and keep screens out of the bedroom.",
    ),
    (
        "How do I remove a coffee stain?",
        "Rinse it with cold water, dab it with a little dish soap, and wash it as usual.",
    ),
    (
        "What is a good gift for a gardener?",
        "A pair of sturdy gloves or a sharp pruning knife is useful and lasts for years.",
    ),
    (
        "Tell me a fact about whales.",
        "The blue whale is the largest animal that has ever lived; its heart is as big as a small car.",
    ),
    (
        "How can I learn Spanish faster?",
        "Practice a little every day, listen to simple podcasts, and speak with others as soon as you can.",
    ),
    (
        "Write a two-line poem about rain.",
        "Soft rain is tapping on the pane,\nand gardens drink the day again.",
    ),
    (
        "What should I pack for a day hike?",
        "Take water, food, a map, a rain jacket, sun protection and a small first aid kit.",
    ),
    (
        "Explain gravity to a child.",
        "Gravity is the pull that brings things down to the ground, like a ball that you drop.",
    ),
    (
        "How do I make a paper airplane?",
        "Fold a sheet lengthwise, fold the top corners to the middle twice, then fold the wings down.",
    ),
    (
        "Why do cats purr?",
        "Cats purr when they are content, and sometimes to calm themselves when they are nervous.",
    ),
    (
        "What is the difference between a lake and a pond?",
        "A lake is larger and deeper; a pond is small and shallow enough for plants to grow across it.",
    ),
    (
        "How do I write a thank-you note?",
        "Name the gift, say what you like about it, and close with a warm wish.",
    ),
    (
        "Recommend a board game for four people.",
        "Try a tile-laying game such as Carcassonne; it is quick to learn and works well with four.",
    ),
    (
        "How often should I water a cactus?",
        "Water it about every two weeks in summer and once a month in winter.",
    ),
    (
        "What makes bread rise?",
        "Yeast eats sugar in the dough and gives off gas, which makes bubbles and lets the bread rise.",
    ),
    (
        "How can I stay focused at work?",
        "Work in blocks of twenty-five minutes, take short breaks, and silence your phone.",
    ),
    (
        "Name three fruits that are rich in vitamin C.",
        "Oranges, kiwis and strawberries are rich in vitamin C.",
    ),
    (
        "What is a simple breakfast?",
        "Oatmeal with fruit and nuts is simple, quick and filling.",
    ),
    (
        "Why do we have leap years?",
        "The earth needs a little more than 365 days to circle the sun, so we add a day every four years.",
    ),
    (
        "How do I fold a fitted sheet?",
        "Tuck the corners into each other, lay it flat, and fold it in thirds both ways.",
    ),
    (
        "What does a librarian do?",
        "A librarian helps people find books and information and takes care of the collection.",
    ),
    ("Give me a slogan for a bike shop.", "Two wheels, endless roads: ride happy."),
    (
        "How do magnets work?",
        "Tiny magnetic regions in the metal point the same way and together pull on iron.",
    ),
    (
        "What is the best time to visit Rome?",
        "Spring and autumn are best: the weather is mild and there are fewer visitors.",
    ),
    (
        "How can I save electricity at home?",
        "Switch off devices you do not use, choose LED lamps, and wash at lower temperatures.",
    ),
    (
        "Write a short email to ask for a day off.",
        "Dear Ms. Lane, may I take this Friday off for a family visit? My tasks will be done by Thursday.",
    ),
    (
        "What is an adverb?",
        "An adverb describes a verb, an adjective or another adverb, as 'quickly' does in 'she runs quickly'.",
    ),
    (
        "How do birds find their way south?",
        "They use the sun, the stars and the earth's magnetic field to find their way.",
    ),
    (
        "Suggest a hobby for a rainy day.",
        "Try drawing, baking or a jigsaw puzzle; all three pass a rainy day nicely.",
    ),
    (
        "How do I care for leather shoes?",
        "Brush off the dirt, use a little polish, and let them dry away from heat.",
    ),
    (
        "What is compound interest?",
        "It is interest that is paid on your savings and also on the interest you earned before.",
    ),
    (
        "Tell me a short joke.",
        "Why did the bicycle fall over? Because it was two-tired.",
    ),
    (
        "How do I make tomato soup?",
        "Fry an onion, add tomatoes and broth, simmer twenty minutes, blend and season.",
    ),
    (
        "What is the tallest mountain?",
        "Mount Everest is the tallest mountain above sea level, at about 8,849 meters.",
    ),
)
"""The last sixth of each list goes to the test split."""

ARITHMETIC = tuple(
    (a, b) for a in (3, 7, 12, 15, 21, 34, 40, 52) for b in (4, 6, 9, 11, 18, 25, 30)
)
"""Additions asked in two ways."""
