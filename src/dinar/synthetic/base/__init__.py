"""What garments are made from: colours, noise, surfaces of the hm08 mesh."""
