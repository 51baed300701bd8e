"""A student of your own classes from a CSV file, in one call.

Run it:  python examples/own_csv.py $(python -m experiments.demo_data)
Time:    about three minutes on two CPU cores, offline after `make demo`. Without an argument it takes
         bert-base-uncased from the hub, and longer.
"""

import csv
import random
import sys
from pathlib import Path

from tinybert_jax import distil_task, predict_table

ENCODER = sys.argv[1] if len(sys.argv) > 1 else "bert-base-uncased"
OUT = Path("runs/own_csv")
WORDS = {
  "praise": ("wonderful", "delicious", "friendly", "perfect", "lovely", "excellent"),
  "complaint": ("awful", "cold", "rude", "broken", "filthy", "overpriced"),
}


def write_reviews(path, rows, seed):
  """Writes made-up reviews with their topic; replace the file by your own."""
  rng = random.Random(seed)
  with path.open("w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    writer.writerow(["review", "topic"])
    for _ in range(rows):
      topic = rng.choice(list(WORDS))
      first, second = rng.sample(WORDS[topic], 2)
      thing, place = rng.choice(["soup", "room", "service", "coffee"]), rng.choice(["hotel", "café", "airport"])
      day = rng.choice(["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"])
      writer.writerow([f"On {day} the {thing} at the {place} was {first} and rather {second}.", topic])


OUT.mkdir(parents=True, exist_ok=True)
write_reviews(OUT / "train.csv", 300, seed=0)
write_reviews(OUT / "test.csv", 100, seed=1)

metrics = distil_task(
  OUT / "run",
  pretrained=ENCODER,  # fine-tuned here; with a classifier of your own say teacher="./my-bert" instead
  train=OUT / "train.csv",
  test=OUT / "test.csv",
  student_layers=2,
  student_width=96,
  teacher_epochs=2,
  intermediate_epochs=4,
  prediction_epochs=20,
)
for side in ("teacher", "student"):
  print(f"{side}: accuracy {metrics[side]['accuracy']:.3f}, {metrics[side]['parameters']:,} parameters")

done = predict_table(OUT / "run" / "student", OUT / "test.csv", OUT / "labels.csv")
print(f"{done.rows} rows with labels and probabilities are in {OUT / 'labels.csv'}")
