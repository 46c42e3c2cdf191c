"""Faults of where a dubbed face is and how its mouth is blended in."""

from tests.mutants.mutant import Mutant

NUMBERS = "tests/test_dub_numbers.py"
MOUTHS = "tests/test_mouths.py"
BLEND = "pipeline/dubbing/blend.py"
FACE_PATH = "pipeline/dubbing/face_path.py"
ELLIPSE = f"{NUMBERS}::test_the_mask_falls_off_over_a_third_of_an_ellipse"
RECTANGLE = f"{MOUTHS}::test_the_mask_lies_in_the_mouths_region"
AROUND = f"{NUMBERS}::test_colour_around_a_mouth_reaches_twelve_pixels_into_it"
BEYOND = f"{NUMBERS}::test_a_mouth_beyond_white_or_black_is_white_or_black"
HIGH = f"{NUMBERS}::test_a_mouth_for_a_high_face_has_neither_stairs_nor_blur"
SMALL_FACE = f"{NUMBERS}::test_faces_that_are_small_one_way_grow_without_stairs_and_without_blur"
INSIDE = f"{NUMBERS}::test_face_of_less_than_eight_pixels_inside_is_left"
TRACK_ENDS = f"{NUMBERS}::test_a_face_is_not_drawn_to_where_its_track_ends"

MUTANTS: tuple[Mutant, ...] = (
    # How a mouth is blended in.
    Mutant(
        "the mask is higher than wide",
        BLEND,
        "(x[None] - CENTRE_X) / RADIUS_X, (y[:, None] - CENTRE_Y) / RADIUS_Y",
        "(x[None] - CENTRE_X) / RADIUS_Y, (y[:, None] - CENTRE_Y) / RADIUS_X",
        (ELLIPSE,),
    ),
    Mutant(
        "the mask is half a pixel beside the mouth",
        BLEND,
        "columns.stop, dtype=np.float32) + 0.5)",
        "columns.stop, dtype=np.float32))",
        (ELLIPSE,),
    ),
    Mutant(
        "the mask falls off along a straight line",
        BLEND,
        "return inwards * inwards * (3 - 2 * inwards)",
        "return inwards",
        (ELLIPSE,),
    ),
    Mutant(
        "the lowest row of a mouth is never changed",
        BLEND,
        "region.top + math.ceil((CENTRE_Y + RADIUS_Y)",
        "region.top + math.floor((CENTRE_Y + RADIUS_Y)",
        (RECTANGLE,),
    ),
    Mutant(
        "a mouth's top is counted in widths of the face",
        BLEND,
        "(CENTRE_Y - RADIUS_Y) * height",
        "(CENTRE_Y - RADIUS_Y) * width",
        (RECTANGLE,),
    ),
    Mutant(
        "light reaches into the mouth as little as there is skin around it",
        BLEND,
        "spread / np.maximum(weight, 1e-3)[..., None]",
        "spread",
        (f"{MOUTHS}::test_another_light_is_taken_out",),
    ),
    Mutant(
        "light of the whole cheek colours the mouth",
        BLEND,
        "COLOUR_SIGMA_PX = 12.0",
        "COLOUR_SIGMA_PX = 24.0",
        (AROUND,),
    ),
    Mutant(
        "the mouth's colour is matched to the mouth that it replaces",
        BLEND,
        "around = 1 - mouth_mask(",
        "around = mouth_mask(",
        (AROUND,),
    ),
    Mutant(
        "blended levels are cut off, half a level too dark",
        BLEND,
        "np.rint(mixed)",
        "mixed",
        (f"{NUMBERS}::test_a_frame_of_bytes_gets_the_nearest_levels",),
    ),
    Mutant(
        "a mouth brighter than white is black",
        BLEND,
        "np.clip(np.rint(mixed), 0, GREY_LEVELS)",
        "np.rint(mixed)",
        (BEYOND,),
    ),
    Mutant(
        "frames of floats are cut off to levels of bytes",
        BLEND,
        "if frame.dtype == np.uint8 else mixed",
        "if True else mixed",
        (BEYOND,),
    ),
    Mutant(
        "the mouth moves with the frame's edge",
        BLEND,
        "slice(visible.top - region.top, visible.bottom - region.top)",
        "slice(0, visible.bottom - visible.top)",
        (f"{MOUTHS}::test_only_the_mask_is_changed",),
    ),
    Mutant(
        "pasted faces are made of squares",
        BLEND,
        "cv2.resize(generated, region.size_px)",
        "cv2.resize(generated, region.size_px, interpolation=cv2.INTER_NEAREST)",
        (f"{MOUTHS}::test_unblended_is_what_the_published_program_pastes",),
    ),
    Mutant(
        "mouths of high and narrow faces have stairs",
        BLEND,
        "width_px < FACE_PX and height_px < FACE_PX",
        "width_px < FACE_PX or height_px < FACE_PX",
        (HIGH,),
    ),
    Mutant(
        "mouths of large faces are blurred",
        BLEND,
        "else cv2.INTER_LANCZOS4",
        "else cv2.INTER_LINEAR",
        (HIGH,),
    ),
    Mutant(
        "mouths of small faces are jagged",
        BLEND,
        "cv2.INTER_AREA if smaller",
        "cv2.INTER_LANCZOS4 if smaller",
        (f"{NUMBERS}::test_a_mouth_for_a_small_face_is_made_small_without_jags",),
    ),
    # Where the face is.
    Mutant(
        "a face begins where its track ends",
        FACE_PATH,
        'mode="nearest"',
        'mode="wrap"',
        (TRACK_ENDS,),
    ),
    Mutant(
        "half a frame before its first a face is where it is last",
        FACE_PATH,
        "position = min(max(position, 0.0), len(self._boxes) - 1.0)",
        "position = min(position, len(self._boxes) - 1.0)",
        (TRACK_ENDS,),
    ),
    Mutant(
        "boxes jump from frame to frame of the track",
        FACE_PATH,
        "share = position - before",
        "share = round(position - before)",
        (f"{MOUTHS}::test_a_moving_face_is_followed_without_lag",),
    ),
    Mutant(
        "edges of a face are cut off to whole pixels",
        FACE_PATH,
        "round(float(edge)) for edge",
        "int(edge) for edge",
        (f"{MOUTHS}::test_a_moving_face_is_followed_without_lag",),
    ),
    Mutant(
        "a time belongs to the frame before it, however near the next one is",
        FACE_PATH,
        "nearest = round(time_s",
        "nearest = int(time_s",
        (f"{NUMBERS}::test_a_time_belongs_to_the_nearest_frame_of_a_track",),
    ),
    Mutant(
        "a face stays for a frame after it has gone",
        FACE_PATH,
        "len(self._boxes) - 0.5",
        "len(self._boxes) + 0.5",
        (f"{MOUTHS}::test_a_face_is_there_from_its_first_frame_to_its_last",),
    ),
    Mutant(
        "what reaches out at the left counts as inside",
        FACE_PATH,
        "min(width, region.right) - max(0, region.left)",
        "min(width, region.right) - region.left",
        (INSIDE,),
    ),
    Mutant(
        "what reaches out at the top counts as inside",
        FACE_PATH,
        "min(height, region.bottom) - max(0, region.top)",
        "min(height, region.bottom) - region.top",
        (INSIDE,),
    ),
    Mutant(
        "a line of a face gets a mouth where it is long enough",
        FACE_PATH,
        "if min(reaches_x, reaches_y)",
        "if max(reaches_x, reaches_y)",
        (INSIDE,),
    ),
    Mutant(
        "a face beyond the frame is mirrored",
        FACE_PATH,
        "cv2.BORDER_REPLICATE",
        "cv2.BORDER_REFLECT",
        (f"{MOUTHS}::test_beyond_the_frame_its_last_pixels_go_on",),
    ),
    Mutant(
        "part of a face is as wide as it is left of another",
        FACE_PATH,
        "self.right - other.left",
        "self.right - other.right",
        (RECTANGLE,),
    ),
    Mutant(
        "the generator sees every video in the colours of BT.601",
        FACE_PATH,
        "part.columns, matrix=matrix)",
        'part.columns, matrix="bt601")',
        (f"{NUMBERS}::test_the_generator_sees_colours_of_the_videos_matrix",),
    ),
    Mutant(
        "the published way is shown smoother faces",
        FACE_PATH,
        "shrink(region.completed(bgr, part), bilinear=bilinear)",
        "shrink(region.completed(bgr, part))",
        (f"{MOUTHS}::test_unblended_is_what_the_published_program_pastes",),
    ),
    Mutant(
        "faces with one short side have stairs",
        FACE_PATH,
        "min(face.shape[:2]) >= FACE_PX",
        "max(face.shape[:2]) >= FACE_PX",
        (SMALL_FACE,),
    ),
    Mutant(
        "small faces are blurred for the generator",
        FACE_PATH,
        "else cv2.INTER_LANCZOS4",
        "else cv2.INTER_LINEAR",
        (SMALL_FACE,),
    ),
)
