"""Faults of models/ that the suite must notice."""

from tests.mutants.mutant import Mutant

SYNCNET, S3FD, WEIGHTS = (f"models/{name}.py" for name in ("syncnet", "s3fd", "weights"))
INPUT = "tests/test_network_input.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "grey lips are made as if BGR were RGB",
        SYNCNET,
        "cv2.COLOR_BGR2GRAY",
        "cv2.COLOR_RGB2GRAY",
        (f"{INPUT}::test_grey_lips_weigh_blue_least_and_green_most",),
    ),
    Mutant(
        "lips are made small by their nearest pixels",
        SYNCNET,
        "region = cv2.resize(region, size, interpolation=cv2.INTER_AREA)",
        "region = cv2.resize(region, size, interpolation=cv2.INTER_NEAREST)",
        (f"{INPUT}::test_lips_are_the_mean_of_their_region",),
    ),
    Mutant(
        "rows and columns of the lip region are exchanged",
        SYNCNET,
        "top, left, side = config.lip_region_px",
        "left, top, side = config.lip_region_px",
        (f"{INPUT}::test_lips_are_the_mean_of_their_region",),
    ),
    Mutant(
        "coloured lips are turned to RGB",
        SYNCNET,
        "return region[None] if config.grey else region.transpose(2, 0, 1)",
        "return region[None] if config.grey else region[..., ::-1].transpose(2, 0, 1)",
        (f"{INPUT}::test_coloured_lips_stay_blue_green_red",),
    ),
    Mutant(
        "a tenth is added to the deviation of lips",
        SYNCNET,
        "+ 0.01  # a still",
        "+ 0.1  # a still",
        (f"{INPUT}::test_lips_lose_the_mean_picture_and_get_deviation_one",),
    ),
    Mutant(
        "lips are divided by their variance",
        SYNCNET,
        "deviation = np.sqrt(np.maximum(variance, 0))",
        "deviation = np.maximum(variance, 0)",
        (f"{INPUT}::test_lips_lose_the_mean_picture_and_get_deviation_one",),
    ),
    Mutant(
        "the level of sound is divided by 10",
        SYNCNET,
        "np.array([3.0, *[10.0]",
        "np.array([10.0, *[10.0]",
        (f"{INPUT}::test_mfcc_lose_their_mean_level_by_3_and_the_rest_by_10",),
    ),
    Mutant(
        "the cepstra of sound are divided by 3",
        SYNCNET,
        "np.array([3.0, *[10.0]",
        "np.array([3.0, *[3.0]",
        (f"{INPUT}::test_mfcc_lose_their_mean_level_by_3_and_the_rest_by_10",),
    ),
    Mutant(
        "sound is normalised over a quarter of the context",
        SYNCNET,
        "running_mean(columns[:, i], config.context_frames * MFCC_PER_FRAME)",
        "running_mean(columns[:, i], config.context_frames)",
        (f"{INPUT}::test_context_is_counted_in_frames_and_in_columns",),
    ),
    Mutant(
        "a wide window of sound is not centred",
        SYNCNET,
        "np.pad(columns, ((side, side), (0, 0)), mode=",
        "np.pad(columns, ((0, 2 * side), (0, 0)), mode=",
        (f"{INPUT}::test_windows_of_sound_start_every_four_columns_with_repeated_ends",),
    ),
    Mutant(
        "beyond a clip's end its first frame is repeated",
        SYNCNET,
        "frames[-1:].expand(side",
        "frames[:1].expand(side",
        (f"{INPUT}::test_windows_of_lips_are_consecutive_with_repeated_ends",),
    ),
    Mutant(
        "embeddings have length 1 beside the constant 10",
        SYNCNET,
        "torch.cat([F.normalize(x) * scale,",
        "torch.cat([F.normalize(x),",
        (f"{INPUT}::test_scaled_embeddings_are_as_far_from_nothing_as_from_each_other",),
    ),
    Mutant(
        "embeddings lack the constant component",
        SYNCNET,
        "torch.full_like(x[:, :1], scale)",
        "torch.full_like(x[:, :1], 0.0)",
        (f"{INPUT}::test_scaled_embeddings_are_as_far_from_nothing_as_from_each_other",),
    ),
    Mutant(
        "the detector gets BGR",
        S3FD,
        "images_bgr[..., ::-1])",
        "images_bgr)",
        (f"{INPUT}::test_detector_input_is_the_picture_less_the_mean_of_each_colour",),
    ),
    Mutant(
        "L2Norm fades faint features",
        S3FD,
        ".sqrt() + 1e-10",
        ".sqrt() + 1e-2",
        (f"{INPUT}::test_l2norm_brings_even_the_faintest_features_to_its_scale",),
    ),
    Mutant(
        "auto takes wav2lip before wav2lip_gan",
        WEIGHTS,
        '("wav2lip_gan", "wav2lip")',
        '("wav2lip", "wav2lip_gan")',
        ("tests/test_models.py::test_auto_takes_the_first_published_file_of_its_network",),
    ),
    Mutant(
        "auto prefers the bundled weights",
        WEIGHTS,
        "path = next((p for p in downloaded if p.exists()), OWN_DIR / own_file)",
        "path = OWN_DIR / own_file",
        ("tests/test_models.py::test_auto_takes_the_first_published_file_of_its_network",),
    ),
    Mutant(
        "the expert is looked for among generators",
        WEIGHTS,
        '("lipsync_expert",)',
        '("wav2lip_gan",)',
        ("tests/test_models.py::test_auto_takes_the_first_published_file_of_its_network",),
    ),
)
