"""Random people: shape, skin, hair, accessories, poses, cameras."""
