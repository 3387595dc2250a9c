// The names that a part of a template sees: its own, then those of the parts around it.

import { Undefined } from './values.ts'

export class Scope {
  private readonly values = new Map<string, unknown>()
  private readonly outer: Scope | undefined
  constructor(outer?: Scope) {
    this.outer = outer
  }

  set(name: string, value: unknown): void {
    this.values.set(name, value)
  }

  get(name: string): unknown {
    const found = this.find(name)
    return found === undefined ? new Undefined(`'${name}' is undefined`) : found
  }

  private find(name: string): unknown {
    const found = this.values.get(name)
    return found === undefined ? this.outer?.find(name) : found
  }
}
