// In place of a module of Node that browsers never ask for.
export const nothing = undefined
