// Learning rates that work where none is given, by kind of adapter and optimiser. Measured, see docs/train.md: `graft bench rates` measures anew.

/** With AdamW. Kinds that scale or prompt have few numbers, all of which must move far. */
const rates: Readonly<Record<string, number>> = {
  lora: 2e-3,
}
const usualRate = 2e-3

/** How much larger or smaller other optimisers' rates are than AdamW's. */
const optimizerFactors: Readonly<Record<string, number>> = { adamw: 1, adafactor: 1, lion: 0.1, sgd: 100 }

/** The highest learning rate of a run in which none is given. */
export const usualLearningRate = (kind: string, optimizer: string): number =>
  (rates[kind] ?? usualRate) * (optimizerFactors[optimizer] ?? 1)
