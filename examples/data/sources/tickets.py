"""Support tickets for a four-class routing task; the label is what the sender wants.

Some tickets mention a second topic in passing, as real ones do.
"""

LABELS = ("billing", "delivery", "technical", "account")

INSTRUCTION = "Route this support ticket to billing, delivery, technical or account."

PRODUCTS = {
    "train": (
        "headphones",
        "coffee maker",
        "desk lamp",
        "backpack",
        "tablet",
        "blender",
        "keyboard",
        "heater",
    ),
    "calibration": ("printer", "jacket", "monitor", "toaster"),
    "test": (
        "camera",
        "vacuum cleaner",
        "router",
        "office chair",
        "smart watch",
        "speaker",
    ),
}

OPENINGS = {
    "train": ("", "Hi, ", "Hello team, ", "Good morning, ", "hey there, "),
    "calibration": ("", "Dear support, ", "Hi all, "),
    "test": ("", "Hello, ", "To whom it may concern, ", "hi, "),
}

CLOSINGS = {
    "train": (
        "",
        " Thanks.",
        " Please help.",
        " Order {number}.",
        " I bought it last week.",
    ),
    "calibration": ("", " Kind regards.", " My order is {number}."),
    "test": ("", " Thank you!", " Reference {number}.", " I am a long-time customer."),
}

TEMPLATES: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "billing": (
            "I was charged twice for the {product}.",
            "the invoice for my {product} shows the wrong amount.",
            "please refund the {product} I sent back.",
            "my discount code was not applied to the {product}.",
            "why is there an extra fee on my card for the {product}?",
            "the {product} arrived fine but the receipt has the wrong tax.",
            "can I pay for the {product} in three installments?",
            "my credit card was declined when I paid for the {product}.",
            "I need an invoice with my company's name for the {product}.",
            "the price of the {product} was lower on the page than on my bill.",
        ),
        "delivery": (
            "my {product} has not arrived yet.",
            "the tracking page for the {product} has not changed for days.",
            "the courier left the {product} at the wrong house.",
            "the box with the {product} came damaged and wet.",
            "can you send the {product} to another address?",
            "I paid for express but the {product} is still in the warehouse.",
            "only half of my order came, the {product} is missing.",
            "when will the {product} be shipped?",
            "nobody rang the bell and the {product} went back to the depot.",
            "I got a lamp shade instead of the {product}, please send the right parcel.",
        ),
        "technical": (
            "the {product} does not turn on.",
            "my {product} makes a strange noise after ten minutes.",
            "the {product} stopped working after the update.",
            "how do I reset the {product}?",
            "the screen of the {product} shows an error code.",
            "the {product} gets very hot and switches itself off.",
            "I cannot connect the {product} to my phone.",
            "the manual does not say how to set up the {product}.",
            "it came on time, but a button on the {product} is broken.",
            "the app does not find my {product}.",
        ),
        "account": (
            "I forgot my password and cannot see my {product} order.",
            "please change the email address of my login.",
            "how do I delete my profile? I only bought a {product}.",
            "I cannot log in since yesterday to register the {product}.",
            "my user name is misspelled, I noticed when I ordered the {product}.",
            "somebody else seems to use my login.",
            "please merge my two profiles, the {product} is in the old one.",
            "I do not get the code for the two-step login.",
            "how do I turn off the newsletter in my settings?",
            "my profile still shows my old phone number.",
        ),
    },
    "calibration": {
        "billing": (
            "there are two payments for one {product} on my statement.",
            "when do I get my money back for the {product}?",
            "the gift card did not lower the price of the {product}.",
            "you billed me for a {product} I never ordered.",
        ),
        "delivery": (
            "the {product} should have been here on Monday.",
            "the driver could not find my street with the {product}.",
            "can I pick up the {product} at a parcel shop?",
            "the package with the {product} was empty.",
        ),
        "technical": (
            "the {product} freezes when I press start.",
            "my {product} will not charge any more.",
            "which cable fits the {product}?",
            "the {product} blinks red and does nothing.",
        ),
        "account": (
            "the link to reset my password does not work.",
            "my login is locked after three tries.",
            "I want to change the name in my profile.",
            "please close my user profile.",
        ),
    },
    "test": {
        "billing": (
            "my bank shows a double payment for the {product}.",
            "I returned the {product} but have not been refunded.",
            "the voucher for the {product} did not reduce the total.",
            "please correct the amount on the invoice of the {product}.",
            "I was billed for two of the {product} and only ordered one.",
            "it works great, but I was overcharged for the {product}.",
            "which payment methods do you take for the {product}?",
            "there is a charge for the {product} that I do not recognize.",
        ),
        "delivery": (
            "where is my {product}? It was due last Friday.",
            "the parcel with the {product} got lost on the way.",
            "the carrier says the {product} was handed over, but I have nothing.",
            "please ship the {product} to my office instead.",
            "the {product} is late and the tracking number is invalid.",
            "I paid weeks ago and the {product} still has not been sent.",
            "the package was torn open and the {product} fell out.",
            "can you tell me the arrival date of the {product}?",
        ),
        "technical": (
            "my {product} crashes every few minutes.",
            "the {product} no longer responds to the remote.",
            "there is no sound from the {product}.",
            "the {product} fails during the installation.",
            "after the last firmware my {product} shows a blank screen.",
            "delivery was quick, but the {product} will not start.",
            "the battery of the {product} is empty after an hour.",
            "how can I pair the {product} with my laptop?",
        ),
        "account": (
            "I cannot sign in any more to see the {product}.",
            "please update the phone number in my profile.",
            "I never get the email to reset my password.",
            "how can I remove my personal data from your site?",
            "my login says that the user does not exist.",
            "I want another email address for signing in.",
            "my profile was locked after I ordered a {product}.",
            "I think someone hacked my login, please block it.",
        ),
    },
}
