// Settings of training over vectors by name: one quick epoch, or five careful ones.

export const standalonePresets = {
  /** One epoch with a large learning rate: a rough adapter within seconds. */
  quick: { epochs: 1, learningRate: 0.005 },
  /** Five epochs with a small learning rate: a lower loss in five times the time. */
  stable: { epochs: 5, learningRate: 0.0005 },
} as const satisfies Readonly<
  Record<string, { readonly epochs: number; readonly learningRate: number }>
>

export type StandalonePreset = keyof typeof standalonePresets
