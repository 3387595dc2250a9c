// Settings of training over vectors by name: one quick epoch, or five careful ones.

export const standalonePresets = {
  /** One epoch in large steps: seconds of feedback, an adapter that points the right way. */
  quick: { epochs: 1, learningRate: 0.005 },
  /** Five epochs in small steps: the lower loss, five times the time. */
  stable: { epochs: 5, learningRate: 0.0005 },
} as const satisfies Readonly<
  Record<string, { readonly epochs: number; readonly learningRate: number }>
>

export type StandalonePreset = keyof typeof standalonePresets
