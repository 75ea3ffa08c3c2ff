"""Sets of views of people: readers, augmentation, photos with fits (§4.2)."""
