/** What a route can't answer, as the agent lacks what it takes: a sentence for the person who asks. */
export class DoorRefusal extends Error {}
