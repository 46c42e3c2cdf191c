"""Faults of how own mouths are laid on their frames, and of what is chosen and shown beside it."""

from tests.mutants.mutant import Mutant
from tests.mutants.of_calibration import MUTANTS as OF_CALIBRATION
from tests.mutants.of_dubbed import MUTANTS as OF_DUBBED
from tests.mutants.of_selection import MUTANTS as OF_SELECTION
from tests.mutants.of_sentences import MUTANTS as OF_SENTENCES

COMPOSE = "pipeline/texture/compose.py"

COMPOSED = "tests/test_own_mouth_composed.py"
TEXTURE = "tests/test_texture.py"
FIT = "tests/test_texture_fit.py"

PART = f"{COMPOSED}::test_a_part_of_a_frame_gets_what_the_whole_frame_does"
BENT = f"{COMPOSED}::test_a_mouth_is_bent_three_quarters_of_the_way_to_the_generators"
LIGHT = f"{COMPOSED}::test_a_mouth_has_the_light_of_its_place_whatever_the_generators_light"
ELLIPSE = f"{COMPOSED}::test_only_the_ellipse_over_mouth_and_jaw_is_changed"
NEAR_JOIN = f"{COMPOSED}::test_near_a_join_a_mouth_goes_its_share_of_the_way_to_the_other"
LIGHT_OF_JOIN = f"{COMPOSED}::test_near_a_join_only_the_light_of_the_other_is_mixed_in"

MUTANTS: tuple[Mutant, ...] = (
    # An own mouth on its frame.
    Mutant(
        "mouths near the frame's edge are laid on the wrong side of their part",
        COMPOSE,
        "= -part.left, -part.top",
        "= part.left, part.top",
        (PART,),
    ),
    Mutant(
        "the part of a frame is found across where it is down",
        COMPOSE,
        "= -part.left, -part.top",
        "= -part.top, -part.left",
        (PART,),
    ),
    Mutant(
        "what is mixed in near a join is laid by the whole frame, not by its part",
        COMPOSE,
        "whole=self.whole.seen_from(part), other=other)",
        "whole=self.whole.seen_from(part))",
        (PART,),
    ),
    Mutant(
        "an own face is taken from where the new one is",
        COMPOSE,
        "np.linalg.inv(align.to_face(self.region))",
        "np.linalg.inv(align.to_face(region))",
        (f"{COMPOSED}::test_an_own_face_is_seen_where_its_map_brings_it",),
    ),
    Mutant(
        "a wide face is bent across by its height",
        COMPOSE,
        "bent[..., 0] * (width / FACE_PX)",
        "bent[..., 0] * (height / FACE_PX)",
        (BENT,),
    ),
    Mutant(
        "mouths are bent across alone",
        COMPOSE,
        "    rows += bent[..., 1] * (height / FACE_PX)\n",
        "",
        (BENT,),
    ),
    Mutant(
        "a large face is bent by pixels of a small one",
        COMPOSE,
        "bent[..., 1] * (height / FACE_PX)",
        "bent[..., 1]",
        (BENT,),
    ),
    Mutant(
        "mouths are bent all the way to the generator's",
        COMPOSE,
        "FLOW_SHARE = 0.75",
        "FLOW_SHARE = 1.0",
        (BENT,),
    ),
    Mutant(
        "mouths are not bent to the generator's",
        COMPOSE,
        "FLOW_SHARE = 0.75",
        "FLOW_SHARE = 0.0",
        (BENT,),
    ),
    Mutant(
        "mouths go back where they should go on",
        COMPOSE,
        "np.linalg.inv(own.whole.map)",
        "own.whole.map",
        (f"{COMPOSED}::test_a_mouth_is_laid_where_its_map_brings_it",),
    ),
    Mutant(
        "the place of a face is taken for that of its cut mouth",
        COMPOSE,
        "across - own.region.left, down - own.region.top",
        "across - region.left, down - region.top",
        (LIGHT,),
    ),
    Mutant(
        "the mask of a wide face is that of a high one",
        COMPOSE,
        "blend.mask_part(width, height,",
        "blend.mask_part(height, width,",
        (ELLIPSE,),
    ),
    Mutant(
        "the mask lies where the face lies on the frame",
        COMPOSE,
        "seen.rows, seen.columns",
        "visible.rows, visible.columns",
        (ELLIPSE,),
    ),
    Mutant(
        "near a join a mouth becomes the other one at once",
        COMPOSE,
        "np.float32(own.share) * align.flow(other, now",
        "np.float32(1) * align.flow(other, now",
        (NEAR_JOIN,),
    ),
    Mutant(
        "near a join mouths are bent away from each other",
        COMPOSE,
        "align.flow(other, now, sigma",
        "align.flow(now, other, sigma",
        (NEAR_JOIN,),
    ),
    Mutant(
        "the light of the other mouth is taken from beside it",
        COMPOSE,
        "align.flow(now, other, sigma",
        "align.flow(other, now + 0, sigma",
        (NEAR_JOIN,),
    ),
    Mutant(
        "the other mouth of a join is not bent to the generator's",
        COMPOSE,
        "other = align.along(other, FLOW_SHARE * align.flow(generated, other))",
        "other = other",
        (NEAR_JOIN,),
    ),
    Mutant(
        "near a join all of the other's light is taken",
        COMPOSE,
        "np.float32(own.share) * cv2",
        "np.float32(1) * cv2",
        (LIGHT_OF_JOIN,),
    ),
    Mutant(
        "near a join the grain of two mouths is averaged",
        COMPOSE,
        "cv2.GaussianBlur(difference, (0, 0), TONE_SIGMA_PX)",
        "difference",
        (LIGHT_OF_JOIN,),
    ),
    Mutant(
        "a dark mouth stays dark in a bright place",
        COMPOSE,
        "    drawn += _read(light, at_face)\n",
        "",
        (LIGHT,),
    ),
    Mutant(
        "an own mouth gets the light of the generator's",
        COMPOSE,
        "blend.GREY_LEVELS), original)",
        "blend.GREY_LEVELS), generated)",
        (LIGHT,),
    ),
    Mutant(
        "own mouths are blurred when they are moved",
        COMPOSE,
        "own.pixels.astype(np.float32), at_mouth, cv2.INTER_LANCZOS4",
        "own.pixels.astype(np.float32), at_mouth",
        (f"{TEXTURE}::test_own_mouths_say_the_new_sound_in_own_pixels",),
    ),
    Mutant(
        "a mouth that is moved has black beside it",
        COMPOSE,
        "interpolation, borderMode=cv2.BORDER_REPLICATE",
        "interpolation, borderMode=cv2.BORDER_CONSTANT",
        (f"{COMPOSED}::test_beyond_its_cutting_the_last_pixels_of_a_mouth_go_on",),
    ),
    Mutant(
        "the edge of a mouth is a blurred ring",
        COMPOSE,
        " / energy\n",
        "\n",
        (f"{TEXTURE}::test_the_edge_keeps_the_energy_of_fine_detail",),
    ),
    Mutant(
        "a mouth that fades comes where it should go",
        COMPOSE,
        "face + (joined - face) * np.float32(own.shown)",
        "joined + (face - joined) * np.float32(own.shown)",
        (f"{FIT}::test_the_generators_mouth_comes_and_goes_smoothly",),
    ),
    Mutant(
        "a mouth that fades is mixed with a soft one",
        COMPOSE,
        "sharpened(generated), original",
        "generated, original",
        (f"{FIT}::test_a_mouth_that_fades_is_a_sharpened_generators",),
    ),
    Mutant(
        "a generator's mouth is sharpened twice as much",
        COMPOSE,
        "SHARPENING, SHARPENING_SIGMA = 1.5, 2.0",
        "SHARPENING, SHARPENING_SIGMA = 3.0, 2.0",
        (
            f"{COMPOSED}::test_a_sharpened_edge_overshoots_by_what_it_stands_out_from_its_surroundings",
        ),
    ),
    *OF_SELECTION,
    *OF_SENTENCES,
    *OF_CALIBRATION,
    *OF_DUBBED,
)
