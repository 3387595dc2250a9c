// Training jobs of clients: what is asked, what is kept of one, and who runs them. Independent of
// how they are run.

import type { StoredFile } from '../files/file-store.ts'

export type TuningStatus = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'

/** What rows are: answers to imitate, or pairs of which one is preferred. */
export type TuningMethod = 'supervised' | 'dpo'

/** 'auto': as the program chooses. */
export interface TuningSettings {
  readonly epochs: number | 'auto'
  readonly batchRows: number | 'auto'
  /** Times the usual learning rate of the adapter's kind. */
  readonly rateMultiplier: number | 'auto'
  /** Of dpo. */
  readonly beta: number | 'auto'
}

/** The adapter that is made; absent: a LoRA on all linear layers. */
export interface TuningAdapter {
  readonly kind?: string | undefined
  readonly rank?: number | undefined
  readonly targets?: string | undefined
}

export interface TuningRequest {
  /** The base, or an expert to train on. */
  readonly model: string
  readonly training: StoredFile
  /** Rows that decide whether the result serves; absent: a tenth of the training rows. */
  readonly validation: StoredFile | undefined
  /** The name under which the result serves; absent: made from the job's id. */
  readonly suffix: string | undefined
  readonly seed: number | undefined
  readonly method: TuningMethod
  readonly settings: TuningSettings
  readonly adapter: TuningAdapter
  readonly metadata: Readonly<Record<string, string>>
}

/** A job as it is kept; plain values. */
export interface TuningJob {
  readonly id: string
  /** The name of the key that sees it; '': of requests without a key. */
  readonly owner: string
  /** Seconds since 1970. */
  readonly createdAt: number
  readonly finishedAt?: number | undefined
  readonly status: TuningStatus
  readonly model: string
  /** The base that is trained on, as the server names it. */
  readonly base: string
  /** The name under which the result serves. */
  readonly name: string
  readonly trainingFile: string
  readonly validationFile: string | undefined
  readonly seed: number
  readonly method: TuningMethod
  readonly settings: TuningSettings
  readonly adapter: TuningAdapter
  readonly metadata: Readonly<Record<string, string>>
  readonly error?: { readonly code: string; readonly message: string } | undefined
  /** What requests name the result. */
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
  /** Of a step or a validation. */
  readonly metrics?: Readonly<Record<string, number>> | undefined
  /** The step of a checkpoint from which the run can go on. */
  readonly checkpoint?: number | undefined
}

export interface JobService {
  /**
   * Checks base, files and rows, and queues a job. Throws RequestError or another GraftError for
   * what is wrong; nothing is kept then.
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
