"""Presets of train_wav2lip.py."""

from training.presets.preset import Preset

# Of the generators, as the paper trains them: Adam's rate, and L1 as the only loss on pixels.
GENERATOR = (
    "--width 1 --batch_size 16 --lr 1e-4 --warmup 0 --weight_decay 0 --mouth_weight 0 "
    "--structure_weight 0 --detail_weight 0 --taught_weight 0"
)

PRESETS = {
    "cosine_expert": Preset(
        "the published expert, asked pairs alone, wrong ones a second apart",
        "--stage expert --width 1 --teacher none --taught_steps 0 --batch_size 60 --lr 1e-4 "
        "--warmup 0 --weight_decay 0 --shift_s 1",
    ),
    "speech2vid": Preset(
        "five frames from cepstra, L1 and a frozen SyncNet's cross-entropy",
        f"--stage speech2vid --teacher auto --sync_weight 0.03 --sync_at 0 {GENERATOR}",
    ),
    "lipgan_style": Preset(
        "Wav2Lip's generator without an expert; LipGAN's own discriminator is no part of it",
        f"--stage generator --teacher none --sync_weight 0 {GENERATOR}",
    ),
    "wav2lip": Preset(
        "Wav2Lip's generator with its expert",
        "--stage generator --teacher none --expert auto --sync_weight 0.03 --sync_from 0.75 "
        f"{GENERATOR}",
    ),
    "wav2lip_gan": Preset(
        "the same against a discriminator",
        "--stage gan --teacher none --expert auto --sync_weight 0.03 --sync_from 0.75 "
        f"--adversarial_weight 0.07 {GENERATOR}",
    ),
}
