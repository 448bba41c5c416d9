"""Pure maths on boxes, tubes, masks and keypoints."""
