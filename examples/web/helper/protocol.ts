// The requests of a page to the worker with the model: types only, for both sides.

import type { DataCheck } from 'graftlm/web'

/** A URL, a name of the catalogue, a .gguf file, or the files of a folder. */
export type ModelSource = string | File | readonly File[]

export interface ModelSummary {
  readonly name: string
  /** Whether prompts go through a chat template; else the model continues the text. */
  readonly isChat: boolean
  /** Tokens that fit into one sequence. */
  readonly contextTokens: number
  readonly threads: number
}

export interface ExpertSummary {
  readonly name: string
  /** 'unfinished': its training was interrupted and can resume. */
  readonly state: 'ready' | 'unfinished'
}

/** Rows in memory, or a file of rows. */
export type Rows = File | readonly object[]

export interface TeachRequest {
  /** Small letters, digits and hyphens. */
  readonly name: string
  /** Without it an interrupted run resumes with its rows and settings. */
  readonly rows?: Rows
  readonly settings?: TeachSettings
}

export interface TeachSettings {
  readonly steps: number
  readonly rank: number
  readonly learningRate: number
  readonly maxTokens: number
  /** Share of the rows that is held back; 0: none. */
  readonly heldBack: number
}

export interface TeachProgress {
  readonly step: number
  readonly steps: number
  readonly loss: number
  /** Of the rows that are held back, after steps where it is measured. */
  readonly heldLoss?: number
  readonly secondsLeft: number
}

export interface TeachResult {
  readonly name: string
  readonly steps: number
  readonly loss: number
  /** 'stopped': by the user; it can resume. */
  readonly reason: 'finished' | 'early-stopped' | 'stopped'
}

export interface AnswerRequest {
  readonly prompt: string
  /** undefined: the base as it is. '': the base with what was taught by thumbs. */
  readonly expert: string | undefined
  readonly maxTokens?: number
  readonly temperature?: number
}

export interface AnswerResult {
  readonly text: string
  /** The number to judge it by; absent for the base, which never learns. */
  readonly turn?: number
  readonly tokens: number
  readonly seconds: number
}

/** Files by name. */
export type Files = ReadonlyMap<string, Uint8Array<ArrayBuffer>>

interface Call<Input, Output, Event = never> {
  readonly input: Input
  readonly event: Event
  readonly output: Output
}

export interface GraftCalls {
  /** Reports the share of the download. */
  open: Call<{ readonly source: ModelSource }, ModelSummary, number>
  check: Call<{ readonly rows: Rows; readonly maxTokens: number }, DataCheck>
  teach: Call<TeachRequest, TeachResult, TeachProgress>
  experts: Call<undefined, readonly ExpertSummary[]>
  /** The files of an adapter as PEFT has them, from this or another tool. */
  addExpert: Call<{ readonly name: string; readonly files: readonly File[] }, ExpertSummary>
  exportExpert: Call<{ readonly name: string }, Files>
  removeExpert: Call<{ readonly name: string }, void>
  /** Reports the text as it is generated. */
  answer: Call<AnswerRequest, AnswerResult, string>
  judge: Call<{ readonly expert: string; readonly turn: number; readonly isGood: boolean }, void>
  correct: Call<
    { readonly expert: string; readonly turn: number; readonly completion: string },
    void
  >
  /** Forgets what thumbs and corrections taught on top of an expert. */
  forget: Call<{ readonly expert: string }, void>
}
