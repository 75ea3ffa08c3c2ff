"""A photo read: image file, keypoints, landmarks, person mask, parse."""
