// Training jobs of clients: the request, the stored job, and the contract of their runner.
// Independent of how they are run.

import type { StoredFile } from '../files/file-store.ts'

export type TuningStatus = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'

/** What rows are: answers to imitate, or pairs of which one is preferred. */
export type TuningMethod = 'supervised' | 'dpo'

/** 'auto': the trainer's default. */
export interface TuningSettings {
  readonly epochs: number | 'auto'
  readonly batchRows: number | 'auto'
  /** Factor of the usual learning rate of the adapter's kind. */
  readonly rateMultiplier: number | 'auto'
  /** β of dpo. */
  readonly beta: number | 'auto'
}

/** The adapter to train. Default: a LoRA on all linear layers. */
export interface TuningAdapter {
  readonly kind?: string | undefined
  readonly rank?: number | undefined
  readonly targets?: string | undefined
}

export interface TuningRequest {
  /** The base, or an expert to continue from. */
  readonly model: string
  readonly training: StoredFile
  /** Rows that decide whether the result is served. Default: a tenth of the training rows. */
  readonly validation: StoredFile | undefined
  /** The name under which the result is served. Default: made from the job's id. */
  readonly suffix: string | undefined
  readonly seed: number | undefined
  readonly method: TuningMethod
  readonly settings: TuningSettings
  readonly adapter: TuningAdapter
  readonly metadata: Readonly<Record<string, string>>
}

/** A stored job; plain values. */
export interface TuningJob {
  readonly id: string
  /** The name of the key that may see it; '': requests without a key. */
  readonly owner: string
  /** Seconds since 1970. */
  readonly createdAt: number
  readonly finishedAt?: number | undefined
  readonly status: TuningStatus
  readonly model: string
  /** The base that it trains on, by the server's name for it. */
  readonly base: string
  /** The name under which the result is served. */
  readonly name: string
  readonly trainingFile: string
  readonly validationFile: string | undefined
  readonly seed: number
  readonly method: TuningMethod
  readonly settings: TuningSettings
  readonly adapter: TuningAdapter
  readonly metadata: Readonly<Record<string, string>>
  readonly error?: { readonly code: string; readonly message: string } | undefined
  /** The name by which requests ask for the result. */
  readonly tunedModel?: string | undefined
  readonly trainedTokens?: number | undefined
  readonly resultFiles: readonly string[]
}

export interface TuningEvent {
  readonly id: string
  /** Seconds since 1970. */
  readonly createdAt: number
  readonly level: 'info' | 'warn' | 'error'
  readonly message: string
  /** Losses of a step or of a validation. */
  readonly metrics?: Readonly<Record<string, number>> | undefined
  /** The step of a checkpoint from which the run can resume. */
  readonly checkpoint?: number | undefined
}

export interface JobService {
  /**
   * Checks base, files and rows, and queues a job. Throws RequestError or another GraftError if
   * something is wrong; then no job is stored.
   */
  create(request: TuningRequest, owner: string): Promise<TuningJob>
  /** In the order in which they were made. */
  list(): Promise<readonly TuningJob[]>
  /** undefined for an id that is unknown or no id. */
  find(id: string): Promise<TuningJob | undefined>
  /** Throws RequestError for a job that has ended. */
  cancel(id: string): Promise<TuningJob>
  /** The oldest first. */
  listEvents(id: string): Promise<readonly TuningEvent[]>
}
