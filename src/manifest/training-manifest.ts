// The training manifest: everything that decides a training run, as one plain value. Independent of
// files.

/** A row of a table with its own options: { name: 'lora', rank: 16 }. */
export interface ManifestChoice {
  /** Of kinds that act as one, a list. */
  readonly name?: string | readonly string[]
  readonly [option: string]: unknown
}

/** A training run: base model, adapter, data and settings. */
export interface TrainingManifest {
  /** The base model: a name, a path or hf:owner/name. */
  readonly base?: string
  /** The folder of the expert. */
  readonly out?: string
  /** The expert's metadata. */
  readonly name?: string
  readonly description?: string
  readonly tags?: readonly string[]
  readonly version?: string
  readonly author?: string
  readonly license?: string
  readonly kind?: string | readonly string[] | ManifestChoice
  /** A role: rank, alpha, targets and data, each unless it is given. */
  readonly role?: string
  /** A tier, or a class of tasks: kind, rank and targets, each unless it is given. */
  readonly tier?: string
  /** The folder of an expert to continue from. */
  readonly from?: string
  /** A preset, ends of module paths, or a regular expression over whole paths. */
  readonly targets?: string | readonly string[]
  readonly data?: {
    readonly files?: string | readonly string[]
    readonly format?: string
    readonly system?: string
    /** A share of the rows, or separate files. */
    readonly validation?: number | string | readonly string[]
    /** All the answers there are, where the rows are labelled. */
    readonly labels?: readonly string[]
    readonly license?: string
  }
  readonly batch?: Readonly<Record<string, unknown>>
  readonly schedule?: string | ManifestChoice
  readonly optimizer?: string | ManifestChoice
  readonly loss?: string | ManifestChoice
  /** The model to imitate, for the loss 'distillation'. */
  readonly teacher?: {
    readonly adapter?: string
    /** Weights by folder. */
    readonly mixture?: Readonly<Record<string, number>>
    readonly model?: string
  }
  /** What losses over pairs compare with, in place of the bare base. */
  readonly reference?: string
  /** Protection of earlier tasks. */
  readonly ewc?: {
    readonly lambda?: number
    readonly decay?: number
    readonly sample?: number
    readonly from?: string
  }
  readonly evaluation?: ManifestEvaluation
  readonly checkpointing?: boolean | number
  readonly seed?: number
  readonly quantization?: string
}

/** What is measured after the training. */
export interface ManifestEvaluation {
  /** Default: the validation rows. */
  readonly data?: string | readonly string[]
  readonly metrics: readonly string[]
  /** Only the first rows. */
  readonly rows?: number
  /** Tokens of an answer at most. */
  readonly newTokens?: number
  readonly stop?: string
}

/** One problem in a training manifest. */
export interface ManifestProblem {
  /** From the top: ['schedule', 'epochs']. */
  readonly path: readonly (string | number)[]
  /** What was found and what is allowed: 'got 0, expected an integer ≥ 1'. */
  readonly message: string
}
