"""Data sets (§4.2): readers and writers of views of people, photos with fits, augmentation, parsing sets."""
