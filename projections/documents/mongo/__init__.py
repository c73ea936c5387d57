"""Documents in MongoDB. No other package imports motor or pymongo."""

from projections.documents.mongo.adapter import MongoDocuments, open_mongo_documents

__all__ = ["MongoDocuments", "open_mongo_documents"]
