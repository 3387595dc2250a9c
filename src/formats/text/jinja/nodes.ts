// The syntax tree of a Jinja template.

export interface CallArguments {
  readonly positional: readonly Expression[]
  readonly named: readonly (readonly [name: string, value: Expression])[]
  readonly spread?: Expression | undefined
  readonly spreadNamed?: Expression | undefined
}

export interface NamedCall {
  readonly name: string
  readonly args: CallArguments
}

export type Expression =
  | { readonly kind: 'constant'; readonly value: unknown }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'list'; readonly items: readonly Expression[] }
  | { readonly kind: 'tuple'; readonly items: readonly Expression[] }
  | { readonly kind: 'concat'; readonly items: readonly Expression[] }
  | { readonly kind: 'dict'; readonly entries: readonly (readonly [Expression, Expression])[] }
  | { readonly kind: 'attribute'; readonly of: Expression; readonly name: string }
  | { readonly kind: 'item'; readonly of: Expression; readonly key: Expression }
  | { readonly kind: 'slice'; readonly of: Expression; readonly parts: readonly SlicePart[] }
  | { readonly kind: 'call'; readonly callee: Expression; readonly args: CallArguments }
  | { readonly kind: 'filter'; readonly of: Expression; readonly call: NamedCall }
  | {
      readonly kind: 'test'
      readonly of: Expression
      readonly call: NamedCall
      readonly negated: boolean
    }
  | { readonly kind: 'unary'; readonly sign: 'not' | '-' | '+'; readonly of: Expression }
  | {
      readonly kind: 'binary'
      readonly sign: string
      readonly left: Expression
      readonly right: Expression
    }
  | {
      readonly kind: 'comparison'
      readonly first: Expression
      readonly rest: readonly (readonly [sign: string, right: Expression])[]
    }
  | {
      readonly kind: 'choice'
      readonly test: Expression
      readonly chosen: Expression
      readonly otherwise?: Expression | undefined
    }

/** A bound or the step of a slice; undefined if it is left out. */
export type SlicePart = Expression | undefined

/** What a value is assigned to: a name, names in a tuple, or an attribute of a namespace. */
export type Target =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'names'; readonly items: readonly Target[] }
  | { readonly kind: 'namespace'; readonly name: string; readonly attribute: string }

export interface MacroParameter {
  readonly name: string
  readonly standard?: Expression | undefined
}

export type Statement =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly value: Expression }
  | {
      readonly kind: 'if'
      readonly branches: readonly (readonly [Expression, TemplateBlock])[]
      readonly otherwise: TemplateBlock
    }
  | {
      readonly kind: 'for'
      readonly target: Target
      readonly items: Expression
      readonly filter?: Expression | undefined
      readonly recursive: boolean
      readonly body: TemplateBlock
      readonly otherwise: TemplateBlock
    }
  | { readonly kind: 'set'; readonly target: Target; readonly value: Expression }
  | {
      readonly kind: 'set-block'
      readonly target: Target
      readonly filters: readonly NamedCall[]
      readonly body: TemplateBlock
    }
  | {
      readonly kind: 'macro'
      readonly name: string
      readonly parameters: readonly MacroParameter[]
      readonly body: TemplateBlock
    }
  | {
      readonly kind: 'call-block'
      readonly call: Extract<Expression, { kind: 'call' }>
      readonly parameters: readonly MacroParameter[]
      readonly body: TemplateBlock
    }
  | {
      readonly kind: 'filter-block'
      readonly filters: readonly NamedCall[]
      readonly body: TemplateBlock
    }
  | {
      readonly kind: 'with'
      readonly values: readonly (readonly [Target, Expression])[]
      readonly body: TemplateBlock
    }
  | { readonly kind: 'break' }
  | { readonly kind: 'continue' }

export type TemplateBlock = readonly Statement[]
