"""The words that the demo world's texts are made of."""

FIRST_NAMES = (
    "Ada", "Bela", "Chidi", "Dalia", "Emeka", "Freya", "Goran", "Hana", "Ines", "Jonas", "Kaya", "Leila", "Mateo", "Nadia", "Oskar", "Priya",
    "Quentin", "Rosa", "Soren", "Tamar", "Ulla", "Viktor", "Wanda", "Xenia", "Yusuf", "Zora", "Amir", "Bruna", "Carlo", "Dario", "Elif", "Farid",
    "Greta", "Hugo", "Ivana", "Jaya", "Kofi", "Lucia", "Milan", "Noor", "Olga", "Pablo", "Rania", "Selma", "Tariq", "Uma", "Vera", "Wim", "Yara", "Zeno",
)  # fmt: skip
FAMILY_NAMES = (
    "Okafor", "Lindqvist", "Moreau", "Tanaka", "Haddad", "Novak", "Silva", "Keller", "Osei", "Petrov", "Rossi", "Kaya", "Dubois", "Eriksen", "Farah", "Gupta",
    "Horvat", "Ito", "Jansen", "Kowalski", "Lopez", "Mbeki", "Nilsen", "Ortega", "Park", "Quist", "Reyes", "Sato", "Tran", "Urban", "Vargas", "Weber", "Yilmaz",
    "Zhang", "Abbas", "Brandt", "Costa", "Demir", "Eze", "Fischer", "Garcia", "Hansen", "Ivanov", "Jovic", "Khan", "Lund", "Meyer", "Nagy", "Oliveira", "Popov",
)  # fmt: skip
OPENINGS = (
    "Just finished", "Slowly learning to love", "Can we talk about", "Today's small joy:", "Unpopular opinion on", "Three hours into", "Looking for advice on",
    "Notes from", "A quiet morning with", "Finally fixed", "Still thinking about", "Everyone should try", "Back from", "Happy to share", "What I got wrong about",
)  # fmt: skip
SUBJECTS = (
    "the night train to the coast.", "sourdough in a cold kitchen.", "a bug that only shows on Tuesdays.", "the new library by the river.", "growing tomatoes on a balcony.",
    "reading maps without a phone.", "a very patient cat.", "the long way round the lake.", "event sourcing, of all things.", "my grandmother's bicycle.",
    "two weeks without news.", "the market at closing time.", "rain on a tin roof.", "teaching children to juggle.", "the history of the pencil.",
    "winter swimming.", "old synthesizers.", "a recipe with four ingredients.", "the bridge they painted twice.", "learning to listen.",
)  # fmt: skip
REPLIES = (
    "that is exactly it.", "how did you find out?", "I tried this too, and it worked.", "not sure I agree, but go on.", "this made my day.", "where was this taken?",
    "please write more about it.", "I owe you a coffee for this.", "saved for later.", "we should do this together next time.", "same here, every single week.",
)  # fmt: skip
TAGS = (
    "photography", "books", "python", "cooking", "music", "cycling", "gardening", "travel", "opensource", "coffee", "running", "film", "history", "maps", "birds",
    "chess", "rain", "trains", "ceramics", "astronomy", "knitting", "jazz", "hiking", "typography", "cats", "science", "poetry", "radio", "swimming", "sourdough",
)  # fmt: skip
