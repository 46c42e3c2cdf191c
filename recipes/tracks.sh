#!/bin/sh
# Cropped tracks of every video in a folder, and in the folders in it.
#
#     VIDEOS=corpus/train TRACKS=data/tracks/train recipes/tracks.sh
#
# WITHOUT=recipes/set_aside.txt leaves out the videos whose results are named in that file, a line
# each; ONLY=recipes/set_aside.txt takes no others.
#
# In the folder of the repository. A video's results are called after its place in VIDEOS:
# talks/a.mp4 becomes talks-a. One that fails is named and left out. Complete results are kept,
# so the same command goes on where it was killed.
set -eu

VIDEOS=${VIDEOS:-corpus/train}
TRACKS=${TRACKS:-data/tracks/train}
WITHOUT=${WITHOUT:-}
ONLY=${ONLY:-}

named() { grep -qxF -e "$1" "$2"; }

find "$VIDEOS" -type f \( -name '*.mp4' -o -name '*.avi' -o -name '*.mkv' -o -name '*.mov' \
    -o -name '*.webm' -o -name '*.mpg' \) | LC_ALL=C sort | while IFS= read -r video; do
    inner=${video#"$VIDEOS"/}
    reference=$(printf %s "${inner%.*}" | tr / -)
    if [ -n "$WITHOUT" ] && named "$reference" "$WITHOUT"; then continue; fi
    if [ -n "$ONLY" ] && ! named "$reference" "$ONLY"; then continue; fi
    python run_pipeline.py --data_dir "$TRACKS" --reference "$reference" --videofile "$video" \
        --crop_scale 0.4 --min_track 50 --frame_rate 25 --num_failed_det 25 --min_face_size 60 \
        --detector small --detect_every 5 --precision fp32 --keep_frames no --keep_video yes \
        --device cpu </dev/null || {
        code=$?
        [ $code -le 2 ] || exit $code # stopped
        echo "left out: $video" >&2
    }
done
