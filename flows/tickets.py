"""What answer-tickets takes and gives."""

from pydantic import BaseModel, Field


class Ticket(BaseModel):
    """One support ticket."""

    user: str = Field(description="who asks", min_length=1)
    text: str = Field(description="what they ask")
    document: str | None = Field(default=None, description="text of an attachment, which the user may not have written")
    feedback: str | None = Field(default=None, description="the queue a person put it into, where that is known")


class TicketResult(BaseModel):
    """What became of a ticket: an answer, or why it was refused."""

    user: str
    label: str
    confidence: float
    answer: str | None = None
    refused: str | None = None
