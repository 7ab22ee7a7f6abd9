//! What is said.

/// Everyday English of our own.
pub(super) const EVERYDAY: [&str; 10] = [
    "Would you like a cup of coffee this morning?",
    "The bus stops in front of the school every day.",
    "I left my keys on the kitchen table.",
    "They are going to visit their friends on Sunday.",
    "He reads the newspaper before he goes to work.",
    "The doctor told me to drink more water.",
    "We can walk to the river after dinner.",
    "Thank you very much for your kind letter.",
    "The house on the hill has a green door.",
    "It is going to be a beautiful day tomorrow.",
];

/// The first list of the Harvard sentences (IEEE Recommended Practice for Speech Quality Measurements,
/// 1969), made to hold the sounds of English as often as speech does.
pub(super) const HARVARD: [&str; 10] = [
    "The birch canoe slid on the smooth planks.",
    "Glue the sheet to the dark blue background.",
    "It's easy to tell the depth of a well.",
    "These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls.",
    "The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck.",
    "The hogs were fed chopped corn and garbage.",
    "Four hours of steady work faced us.",
    "A large size in stockings is hard to sell.",
];
