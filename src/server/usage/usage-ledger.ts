// Collects the usage of requests and writes it to the store soon after: a full disk delays the rows
// and never fails a request. Independent of HTTP.

import { sumUsage, type UsageRow, type UsageStore } from './usage-row.ts'

export interface UsageLedgerParts {
  readonly store: UsageStore
  /**
   * Called once per series of failures: when writing begins to fail, and with undefined when it
   * works again.
   */
  readonly onFailure?: (error: unknown) => void
}

/**
 * Limit of rows that wait for a failing store; the oldest are added up, so that the list stays
 * short.
 */
const mostPending = 10_000

export class UsageLedger {
  readonly #parts: UsageLedgerParts
  #pending: UsageRow[] = []
  #writing: Promise<void> | undefined
  #isFailing = false

  constructor(parts: UsageLedgerParts) {
    this.#parts = parts
  }

  /** Adds a request's row; written in the background. */
  add(row: UsageRow): void {
    this.#pending.push(row)
    if (this.#pending.length > mostPending) this.#pending = sumUsage(this.#pending)
    void this.flush()
  }

  /** Writes pending rows; resolves when none is left, or when the store failed. */
  flush(): Promise<void> {
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined
    })
    return this.#writing
  }

  /** Rows that are not written yet. */
  get pendingRows(): number {
    return this.#pending.length
  }

  async #write(): Promise<void> {
    while (this.#pending.length > 0) {
      await undefined // requests that end together are written together
      const rows = sumUsage(this.#pending)
      this.#pending = []
      try {
        await this.#parts.store.add(rows)
        this.#isFailing = false
      } catch (error) {
        this.#pending = [...rows, ...this.#pending]
        if (!this.#isFailing) this.#parts.onFailure?.(error)
        this.#isFailing = true
        return // retried with the next request
      }
    }
  }
}
